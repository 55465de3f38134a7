/**
 * The bridge between WhatsApp Web and the session: reports what happens, and runs what Python asks for.
 *
 * Runs right behind the wa-js bundle, once per page load, in the top frame only. `load` names this page load: Python
 * drops reports of older ones, and a call meant for an older one is refused.
 */
(() => {
  'use strict';
  if (window.__wafleet) {
    return;
  }

  const load = `${performance.timeOrigin.toString(36)}-${Math.random().toString(36).slice(2)}`;
  const EDGES = [
    'conn.authenticated',
    'conn.main_init',
    'conn.main_loaded',
    'conn.main_ready',
    'conn.online',
    'conn.require_auth',
    'conn.stream_info_changed',
    'conn.stream_mode_changed',
    'loader.full_ready',
  ];
  /** Events of WhatsApp's own bus that decide about the login. */
  const FATEFUL = ['storage_initialization_error', 'account_temporarily_banned'];
  /** A logout's reason comes in an event of its own, before or just after it. */
  const REASON_GRACE_MS = 250;

  let number = 0;
  let confirmed = false;
  let lastState = '';
  let codePhone = null;
  const operations = {};

  const text = (value) => (value === undefined || value === null ? null : String(value));

  function report(kind, data) {
    number += 1;
    return window.__wafleetReport({ load, number, kind, data });
  }

  /** The readiness rule. `conn.main_ready` also fires at the QR screen, and Stream.mode stays MAIN while offline. */
  function snapshot() {
    const { Socket, Stream } = WPP.whatsapp;
    const registered = Boolean(WPP.conn.isRegistered());
    const wid = registered ? text(WPP.conn.getMyUserId()) : null;
    const lid = registered ? text(WPP.conn.getMyUserLid()) : null;
    const rule =
      registered && Socket.state === 'CONNECTED' && Boolean(Socket.hasSynced) && Stream.mode === 'MAIN';
    return {
      registered,
      ready: rule && wid !== null && confirmed && Boolean(WPP.isFullReady),
      state: text(Socket.state),
      mode: text(Stream.mode),
      info: text(Stream.info),
      wid,
      lid,
    };
  }

  function reportState() {
    if (!WPP.isReady) {
      return;
    }
    const state = snapshot();
    const written = JSON.stringify(state);
    if (written !== lastState) {
      lastState = written;
      report('state', state);
    }
  }

  function reportQr(code) {
    if (code && code.fullCode) {
      report('qr', { code: code.fullCode, ttl: WPP.whatsapp.Conn.refTTL ?? null });
    }
  }

  function reportBackend(name, ...details) {
    if (FATEFUL.includes(name)) {
      const detail = details[0];
      report('fate', { name, active: detail?.banned !== false, code: text(detail?.code), expire: text(detail?.expire) });
    }
    reportState();
  }

  function reportAck({ ack, chat, ids }) {
    const own = ids.filter((key) => key.fromMe).map(text);
    if (own.length) {
      report('ack', { ack, chat: text(chat), ids: own });
    }
  }

  function listen() {
    for (const edge of EDGES) {
      WPP.on(edge, reportState);
    }
    WPP.on('conn.auth_code_change', reportQr);
    WPP.on('conn.qrcode_idle', () => report('qr_idle', {}));
    WPP.on('conn.link_code_change', (code) => report('code', { code: text(code), phone: codePhone }));
    WPP.on('conn.backend_event', reportBackend);
    WPP.on('conn.logout_reason', (reason) => report('logout', { reason: text(reason) }));
    WPP.on('conn.logout', () => setTimeout(() => report('logout', { reason: null }), REASON_GRACE_MS));
    WPP.on('chat.msg_ack_change', reportAck);
    WPP.on('loader.ready', () => {
      for (const edge of ['change:state', 'change:stream', 'change:hasSynced']) {
        WPP.whatsapp.Socket.on(edge, reportState);
      }
      WPP.whatsapp.Stream.on('change:mode', reportState);
      report('injected', {});
      reportState();
    });
  }

  const described = (error) => ({
    code: text(error?.code),
    name: text(error?.name),
    message: String(error?.message ?? error).slice(0, 500),
    connected: WPP.whatsapp.Socket.state === 'CONNECTED',
  });

  /** Run an operation; its failure is a value, so that Playwright's own errors mean "the page is gone" only. */
  async function run(name, argument, expectedLoad) {
    if ((expectedLoad && expectedLoad !== load) || window.__wafleetFuse?.isOut()) {
      return { stale: true };
    }
    try {
      return { value: await operations[name](argument) };
    } catch (error) {
      return { error: described(error) };
    }
  }

  Object.assign(operations, {
    /** The level behind all edges, and what a page that is ready hears: what a probe asks. */
    async vitals(limits) {
      reportState();
      const state = snapshot();
      return { ...state, hearing: state.ready ? await operations.hearing(limits) : null };
    },

    missing(names) {
      const resolved = (name) => name.split('.').reduce((value, part) => value?.[part], window);
      return names.filter((name) => resolved(name) === undefined);
    },

    async refreshQr() {
      await WPP.conn.refreshQR();
    },

    async requestCode(phone) {
      codePhone = phone;
      await WPP.conn.startLinkDeviceCodeForPhoneNumber(phone.replace(/^\+/, ''));
    },

    async logout() {
      await WPP.conn.logout();
    },
  });

  Object.defineProperty(window, '__wafleet', { value: Object.freeze({ load, report, run, operations }) });
  listen();
  report('hello', { query: location.search }).then(() => {
    confirmed = true;
    reportState();
  });
})();

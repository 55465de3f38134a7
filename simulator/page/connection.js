/**
 * Boot, the socket's life, reconnects.
 *
 * Certainty: registration is known at load, IndexedDB decides at boot [R]; states go OPENING → UNPAIRED (QR),
 * or OPENING → CONNECTED with the stream SYNCING and then CONNECTED [R]; the client reconnects by itself
 * [S]; the waits between its attempts are ours (`__SIM.reconnectMs`).
 */
(() => {
  'use strict';
  const { config, define, need } = window.__sim;

  const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = config.reconnectMs;

  define('SimConnection', (exports) => {
    const wire = need('SimWire');
    const socket = () => need('WAWebSocketModel').Socket;
    const stream = () => need('WAWebStreamModel').Stream;
    const setSocketState = (state) => need('SimState').setSocketState(state);

    /** Logged in and synced: messages may go out. */
    let ready = false;
    /** Stopped until somebody acts: conflict, terms block. */
    let halted = false;
    /** Logged out: nothing more happens before the reload. */
    let ended = false;
    let waitMs = FIRST_WAIT_MS;
    let reconnectTimer = null;
    let syncTimer = null;

    function disconnected() {
      ready = false;
      clearTimeout(syncTimer);
      stream().markUnavailable();
    }

    function reconnectLater() {
      disconnected();
      if (ended || halted) {
        return;
      }
      socket().set('stream', 'DISCONNECTED');
      setSocketState('OPENING');
      reconnectTimer = setTimeout(connect, waitMs);
      waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
    }

    function logIn() {
      wire.send({ t: 'login', token: need('SimIdentity').login().token, version: config.version });
    }

    function connect() {
      if (ended || halted || !navigator.onLine || wire.isOpenOrOpening()) {
        return;
      }
      clearTimeout(reconnectTimer);
      wire.open({
        onOpen: () => (need('SimIdentity').isRegistered() ? logIn() : wire.send({ t: 'hello' })),
        onFrame: need('SimFrames').receive,
        onClose: reconnectLater,
      });
    }

    function synced() {
      ready = true;
      socket().set({ hasSynced: true, stream: 'CONNECTED', canSend: true });
      stream().markAvailable();
      need('SimScreen').main();
      need('SimSending').resendInFlight();
      wire.send({ t: 'active' });
    }

    Object.assign(exports, {
      connect,
      logIn,
      isReady: () => ready,
      refreshQR: () => wire.send({ t: 'refresh_qr' }),

      /** The service answered as hoped: the next lost socket is retried soon again. */
      settled() {
        waitMs = FIRST_WAIT_MS;
      },

      /** Be syncing for so long, then ready. */
      syncFor(ms) {
        clearTimeout(syncTimer);
        syncTimer = setTimeout(synced, ms);
      },

      /** Stop in a state that only a person, a takeover or a reload ends. */
      halt(state) {
        halted = true;
        disconnected();
        setSocketState(state);
      },

      /** A terms block was lifted. */
      resume() {
        if (!halted) {
          return;
        }
        halted = false;
        setSocketState('OPENING');
        if (wire.isOpenOrOpening()) {
          logIn();
        } else {
          connect();
        }
      },

      /** Take the connection back from another browser. */
      takeover() {
        halted = false;
        wire.abandon();
        setSocketState('OPENING');
        connect();
      },

      /** The login is over: no frame and no reconnect any more. */
      end() {
        ended = true;
        disconnected();
        clearTimeout(reconnectTimer);
        wire.abandon();
      },
    });
  });

  async function mayUseStorage() {
    if (!config.requirePersist) {
      return true;
    }
    const granted = !config.persistDenied && (await navigator.storage.persist());
    if (!granted) {
      console.error('[storage] persistence denied (acquire-persistent-storage-denied)');
    }
    return granted || need('SimLogout').isAlreadyOut();
  }

  async function boot() {
    const identity = need('SimIdentity');
    const connection = need('SimConnection');
    const { Stream } = need('WAWebStreamModel');
    if (!(await mayUseStorage())) {
      need('SimLogout').storageFailed('persistence denied');
      return;
    }
    await need('SimLogout').finishPending();
    await identity.load();
    need('SimState').setSocketState('OPENING');
    Stream.update();
    window.Debug = { VERSION: config.version };
    if (identity.isRegistered()) {
      const { wid, lid } = identity.login();
      need('SimLidMap').learn(wid, lid);
      need('SimScreen').loading();
      await need('SimChats').restore();
      await need('SimSending').restore();
    }
    connection.connect();
    window.addEventListener('online', connection.connect);
    window.addEventListener('offline', need('SimWire').close);
  }

  window.addEventListener('DOMContentLoaded', () => {
    setTimeout(() => boot().catch((error) => console.error('boot failed', error)), config.bootMs);
  });
})();

/**
 * What the page hears: the socket's traffic as seen from outside, and a question only the server can answer.
 *
 * Nothing of the traffic can be read (it is encrypted), so frames are counted. A frame that comes in is the answer to
 * one of ours, or a push. The client answers each push of a message, receipt, notification or call with a frame of its
 * own, and wa-js tells of most of them; a push that is followed by neither was not taken in. Presences are answered by
 * nothing, but fire an event. The judgement is Python's (`actors/core/hearing.py`). Where WhatsApp keeps its socket in
 * a worker nothing is seen here: then only the question counts. Added to the bridge.
 */
(() => {
  'use strict';
  const { operations } = window.__wafleet;

  /** Events of a connection that begins, and of pushes that were taken in. */
  const BEGINNINGS = ['conn.main_ready', 'conn.online', 'conn.stream_info_changed', 'conn.stream_mode_changed'];
  const PUSHES = [
    'call.incoming_call',
    'chat.msg_edited',
    'chat.msg_revoke',
    'chat.new_reaction',
    'chat.poll_response',
    'chat.presence_change',
    'group.participant_changed',
  ];
  const MAX_ASKED = 50;
  /** WhatsApp's own requests are given up after 20-30 s: a later frame is no answer to them. */
  const ANSWER_MS = 30_000;
  const ACK_RECEIVED = 2;

  let lastTraffic = null;
  let lastSent = 0;
  /** Own frames that may still be answered. */
  let asked = 0;
  let unheard = 0;
  let unheardSince = null;

  function heard() {
    unheard = 0;
    unheardSince = null;
  }

  function arrived() {
    lastTraffic = performance.now();
    if (lastTraffic - lastSent > ANSWER_MS) {
      asked = 0;
    }
    if (asked > 0) {
      asked -= 1;
      return;
    }
    unheard += 1;
    unheardSince ??= lastTraffic;
  }

  function left() {
    lastSent = performance.now();
    if (unheard === 0) {
      asked = Math.min(asked + 1, MAX_ASKED);
      return;
    }
    unheard -= 1;
    if (unheard === 0) {
      unheardSince = null;
    }
  }

  window.WebSocket = new Proxy(window.WebSocket, {
    construct(target, args, newTarget) {
      const socket = Reflect.construct(target, args, newTarget);
      const { send } = socket;
      socket.addEventListener('message', arrived);
      socket.send = (data) => {
        left();
        return send.call(socket, data);
      };
      return socket;
    },
  });

  for (const event of [...BEGINNINGS, ...PUSHES]) {
    WPP.on(event, heard);
  }
  WPP.on('chat.new_message', (message) => {
    if (!message.id.fromMe) {
      heard();
    }
  });
  WPP.on('chat.msg_ack_change', ({ ack }) => {
    // The server's own ack (1) answers a send; receipts are what others told.
    if (ack >= ACK_RECEIVED) {
      heard();
    }
  });

  /** A query for the own number costs the server next to nothing, and is never answered from the page's memory. */
  const ownNumber = () => WPP.whatsapp.functions.queryWidExists(WPP.conn.getMyUserId());

  /** Whether the server answers: true, false, or null where it cannot be told. */
  function serverAnswers(limitMs) {
    const before = lastTraffic;
    const came = () => lastTraffic !== before;
    const answer = ownNumber().then(
      () => true,
      () => came() || (before === null ? null : false),
    );
    const limit = new Promise((resolve) => {
      setTimeout(() => resolve(came()), limitMs);
    });
    return Promise.race([answer, limit]);
  }

  Object.assign(operations, {
    /** The server is asked only where the line was quiet. */
    async hearing({ quietMs, answerMs }) {
      const traffic = lastTraffic === null ? null : Math.round(performance.now() - lastTraffic);
      const quiet = traffic === null || traffic >= quietMs;
      const answered = quiet ? await serverAnswers(answerMs) : null;
      const unheardMs = unheardSince === null ? 0 : Math.round(performance.now() - unheardSince);
      return { traffic, answered, unheard, unheardMs };
    },

    /** Settles with the server's answer; other traffic is none, and no answer is a silence. */
    async askServer() {
      await ownNumber();
    },
  });
})();

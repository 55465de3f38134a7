/**
 * Sending: store, transmit, wait for the service's ack.
 *
 * Certainty: the message is stored first, then sent; sends in flight are kept in memory only, so a reload
 * forgets them [R]; an ack sets SENT, a refusal sets FAILED and **resolves** with ERROR_UNKNOWN [R]; a send
 * while offline waits without end and goes out after the reconnect [M on this page]; own ack-0 messages are
 * not sent again after a restart (`resendPending` false: seen code only, no proof [R]). An id that is already
 * known is sent again under its own id, as the real `resendMsg` does [R].
 */
(() => {
  'use strict';
  const { config, define, need } = window.__sim;

  define('SimSending', (exports) => {
    const messages = need('SimMessages');
    /** Bare id → `{message, transmitted, waiters}` of the sends that have no ack yet. */
    const inFlight = new Map();

    function wireForm(message) {
      const { id, remote, fromMe, participant } = message.id;
      const key = { id, remote: remote.toString(), fromMe };
      if (participant) {
        key.participant = participant.toString();
      }
      return { ...messages.toRecord(message), key };
    }

    function put(flight) {
      if (!need('SimConnection').isReady()) {
        return;
      }
      const frame = { t: 'msg', msg: wireForm(flight.message) };
      if (flight.transmitted) {
        frame.retry = true;
      }
      flight.transmitted = need('SimWire').send(frame) || flight.transmitted;
    }

    function flightOf(message) {
      const known = inFlight.get(message.id.id);
      if (known) {
        return known;
      }
      const flight = { message, transmitted: false, waiters: [] };
      inFlight.set(message.id.id, flight);
      return flight;
    }

    /** Send a stored message; resolves with the result when the service has answered. */
    exports.transmit = (message) =>
      new Promise((resolve) => {
        const flight = flightOf(message);
        flight.waiters.push(resolve);
        put(flight);
      });

    /** Send again all that has no answer: after each login. */
    exports.resendInFlight = () => {
      for (const flight of inFlight.values()) {
        put(flight);
      }
    };

    /** The service's answer to a message. */
    exports.settle = async ({ id, ts, error }) => {
      const flight = inFlight.get(id);
      if (!flight) {
        return;
      }
      inFlight.delete(id);
      const { message, waiters } = flight;
      if (error) {
        message.set('ack', need('WAWebAck').ACK.FAILED);
      } else if (message.ack < need('WAWebAck').ACK.SENT) {
        message.set('ack', need('WAWebAck').ACK.SENT);
      }
      const result = error
        ? { messageSendResult: 'ERROR_UNKNOWN', errorCode: error }
        : { messageSendResult: 'OK', t: ts, count: null };
      await messages.persist(message);
      for (const resolve of waiters) {
        resolve(result);
      }
    };

    /** At boot, where `resendPending` is set: own messages without an ack go out again. */
    exports.restore = async () => {
      if (!config.resendPending) {
        return;
      }
      const records = await need('SimStorage').all('message');
      const pending = records.filter((record) => record.ack === 0 && record.id.startsWith('true_'));
      for (const message of messages.hydrate(pending)) {
        flightOf(message);
      }
    };

    /** Attributes of a new own message to a chat. */
    exports.outgoing = async (chat, extra) => {
      const MsgKey = need('WAWebMsgKey').default;
      const me = need('WAWebUserPrefsMeUser');
      const byLid = chat.id.isGroup() || chat.id.isLid();
      const from = byLid ? me.getMaybeMeLidUser() : me.getMaybeMePnUser();
      const participant = chat.id.isGroup() ? from : undefined;
      const id = new MsgKey({
        from,
        to: chat.id,
        id: await MsgKey.newId(),
        participant,
        selfDir: 'out',
      });
      return {
        id,
        from,
        to: chat.id,
        self: 'out',
        t: need('WATimeUtils').unixTime(),
        isNewMsg: true,
        local: true,
        ack: 0,
        ...extra,
      };
    };
  });

  define('WAWebSendMsgChatAction', (exports) => {
    const { add, persist } = need('SimMessages');
    const sending = need('SimSending');

    /** Returns `[promise of the stored message, promise of the result]`. */
    exports.addAndSendMsgToChat = (_chat, attributes) => {
      const Msg = need('WAWebMsgModel').default;
      const known = need('WAWebMsgCollection').MsgCollection.get(attributes.id);
      const message = known || new Msg({ ...attributes });

      async function store() {
        if (!known) {
          add(message);
        }
        await persist(message);
        return message;
      }
      const stored = store();
      return [stored, stored.then(sending.transmit)];
    };

    exports.sendTextMsgToChat = async (chat, text) => {
      const attributes = await sending.outgoing(chat, { type: 'chat', body: text });
      const [stored] = exports.addAndSendMsgToChat(chat, attributes);
      return stored;
    };
  });
})();

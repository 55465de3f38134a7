/**
 * Presence and typing, ours and theirs.
 *
 * Certainty: both bridges exist, wa-js uses WAWebPresenceChatAction and whatsapp-web.js
 * WAWebChatStateBridge [S]; a chat's `presence.chatstate.type` change is what wa-js turns into
 * `chat.presence_change` [S].
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  const send = (frame) => need('SimWire').send(frame);
  const sendState = (chatId, state) => send({ t: 'chatstate', chat: chatId.toString(), state });

  define('WAWebChatStateBridge', (exports) => {
    Object.assign(exports, {
      sendChatStateComposing: async (chatId) => sendState(chatId, 'composing'),
      sendChatStatePaused: async (chatId) => sendState(chatId, 'paused'),
      sendChatStateRecording: async (chatId) => sendState(chatId, 'recording'),
    });
  });

  define('WAWebPresenceChatAction', (exports) => {
    Object.assign(exports, {
      markComposing: async (chat) => sendState(chat.id, 'composing'),
      markPaused: async (chat) => sendState(chat.id, 'paused'),
      markRecording: async (chat) => sendState(chat.id, 'recording'),
      sendPresenceAvailable: async () => send({ t: 'presence', available: true }),
      sendPresenceUnavailable: async () => send({ t: 'presence', available: false }),
    });
  });

  define('WAWebContactPresenceBridge', (exports) => {
    exports.subscribeUserPresence = async () => {};
    exports.subscribeGroupPresence = async () => {};
  });

  define('SimPresence', (exports) => {
    /** Ask for somebody's presence; not being connected is no fault of the caller. */
    exports.subscribe = async (id) => {
      if (!need('SimConnection').isReady()) {
        return;
      }
      try {
        await need('SimWire').request('presence_sub', { jid: id.toString() });
      } catch (error) {
        console.warn(`presence of ${id} not subscribed`, error);
      }
    };

    /** Somebody types, records or pauses. */
    exports.receive = ({ chat, state }) => {
      const id = need('WAWebWidFactory').createWid(chat);
      const presence = need('WAWebPresenceCollection').PresenceCollection.gadd(id);
      presence.set({ hasData: true, isOnline: true }, { silent: true });
      presence.chatstate.set('type', state);
    };
  });
})();

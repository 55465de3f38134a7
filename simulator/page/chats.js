/**
 * Chats: find or create, read, getters.
 *
 * Certainty: `findOrCreateLatestChat` returns `{chat, created}` and a group must exist on the service [S];
 * on accounts with LID chats a phone number leads to the chat `…@lid` [S][F].
 */
(() => {
  'use strict';
  const { config, define, need } = window.__sim;

  const chats = () => need('WAWebChatCollection').ChatCollection;

  define('WAWebFindChatAction', (exports) => {
    function addressOf(wid) {
      if (config.lidChats && wid.server === 'c.us') {
        return need('WAWebLidPnCache').lidPnCache.getCurrentLid(wid) || wid;
      }
      return wid;
    }

    exports.findOrCreateLatestChat = async (wid) => {
      const id = addressOf(wid);
      const known = chats().get(id);
      if (known) {
        return { chat: known, created: false };
      }
      if (id.isGroup()) {
        await need('SimWire').request('group_info', { gid: id.toString() });
      }
      return { chat: await need('SimChats').ensure(id), created: true };
    };
    exports.findChat = async (wid) => (await exports.findOrCreateLatestChat(wid)).chat;
    exports.findExistingChat = (wid) => chats().get(wid);
  });

  define('SimChats', (exports) => {
    /** The chat of this id; a new one is stored. */
    exports.ensure = async (id, attributes) => {
      const known = chats().get(id);
      if (known) {
        return known;
      }
      const chat = chats().add({ id, ...attributes });
      await need('SimStorage').put('chat', { id: id.toString() });
      return chat;
    };

    /** Bring the stored chats to memory, silently, as at the start of the real client. */
    exports.restore = async () => {
      const { createWid } = need('WAWebWidFactory');
      for (const { id } of await need('SimStorage').all('chat')) {
        chats().add({ id: createWid(id) }, { silent: true });
      }
    };
  });

  define('WAWebChatGetters', (exports) => {
    Object.assign(exports, {
      getIsNewsletter: (chat) => chat.id.isNewsletter(),
      getIsBroadcast: (chat) => chat.id.isBroadcast(),
      getIsGroup: (chat) => chat.id.isGroup(),
      getIsUser: (chat) => chat.id.isUser(),
      getHasUnread: (chat) => chat.unreadCount > 0,
    });
  });

  define('WAWebFrontendChatGetters', (exports) => {
    Object.assign(exports, {
      getShouldAppearInList: () => true,
      getPreviewMessage: () => undefined,
      getShowChangeNumberNotification: () => false,
      getShouldShowUnreadDivider: () => false,
    });
  });

  define('WAWebGetEphemeralFieldsMsgActionsUtils', (exports) => {
    exports.getEphemeralFields = () => ({});
  });

  define('WAWebUpdateUnreadChatAction', (exports) => {
    exports.sendSeen = async (chatOrOptions) => {
      const chat = chatOrOptions.chat || chatOrOptions;
      if (chat.unreadCount) {
        need('SimWire').send({ t: 'read', chat: chat.id.toString() });
        chat.set('unreadCount', 0);
      }
    };
    exports.markUnread = async () => {};
  });

  define('WAWebMarkPlayed', (exports) => {
    exports.markPlayed = async () => {};
    exports.canMarkPlayed = () => false;
  });
})();

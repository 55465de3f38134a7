/**
 * Messages: how they are stored, read back, received and looked up.
 *
 * Certainty: every message is stored in IndexedDB, own ones before they are sent [R]; after a restart a
 * message comes to memory only when it is asked for [S]; `getSearchContext` and `msgFindByDirection` are what
 * wa-js's `getMessageById` and `getMessages` use [S]. An inbound id that is known is dropped: by the real
 * client too, as far as seen [guess].
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  const collection = () => need('WAWebMsgCollection').MsgCollection;
  const chatOf = (id) => need('WAWebChatCollection').ChatCollection.get(id);
  const keyFrom = (text) => need('WAWebMsgKey').default.fromString(text);

  define('SimMessages', (exports) => {
    const storage = need('SimStorage');
    const { createWid } = need('WAWebWidFactory');
    /** Attributes that live in memory only. */
    const NOT_STORED = new Set(['mediaData', 'mediaObject', 'quotedMsg']);
    const textOf = (value) => (value && value._serialized) || value;

    /** Plain object of a message: what is stored, and what goes over the wire. */
    function toRecord(message) {
      const record = {};
      for (const [name, value] of Object.entries(message.serialize())) {
        if (!NOT_STORED.has(name)) {
          record[name] = Array.isArray(value) ? value.map(textOf) : textOf(value);
        }
      }
      record.remote = message.id.remote.toString();
      return JSON.parse(JSON.stringify(record));
    }

    function mediaDataOf(record) {
      const MediaData = need('WAWebMediaDataModel').default;
      const { filehash, mimetype, size, directPath, type } = record;
      return new MediaData({ filehash, mimetype, size, directPath, type, mediaStage: 'NEED_POKE' });
    }

    /** Attributes of the model that stands for a stored or received record. */
    function toAttributes(record, overrides) {
      const attributes = { ...record, ...overrides };
      delete attributes.remote;
      delete attributes.key;
      for (const name of ['from', 'to', 'author']) {
        if (attributes[name]) {
          attributes[name] = createWid(attributes[name]);
        }
      }
      if (record.directPath) {
        attributes.mediaData = mediaDataOf(record);
      }
      return attributes;
    }

    function persist(message) {
      return storage.put('message', toRecord(message)).catch((error) => {
        console.error(`message ${message.id} could not be stored`, error);
      });
    }

    /** Put a message into its collections; returns the one that is there when the id is known. */
    function add(message) {
      const added = collection().add(message);
      const chat = chatOf(added.id.remote);
      if (chat) {
        chat.msgs.add(added, { noForward: true });
        chat.set({ lastReceivedKey: added.id, t: added.t });
      }
      return added;
    }

    /** Bring stored records to memory. */
    function hydrate(records) {
      return records.map((record) => {
        const id = keyFrom(record.id);
        const message = collection().add(toAttributes(record, { id, isNewMsg: false }));
        const chat = chatOf(id.remote);
        if (chat) {
          chat.msgs.add(message, { noForward: true });
        }
        return message;
      });
    }

    async function findById(id) {
      const known = collection().get(id);
      if (known) {
        return known;
      }
      const record = await storage.get('message', String(id));
      return record ? hydrate([record])[0] : undefined;
    }

    /** An own message of a chat by its bare id, as receipts name it. */
    function findOwn(bareId, chatId) {
      const MsgKey = need('WAWebMsgKey').default;
      const participant = chatId.isGroup()
        ? need('WAWebUserPrefsMeUser').getMaybeMeLidUser()
        : undefined;
      return findById(new MsgKey({ fromMe: true, remote: chatId, id: bareId, participant }));
    }

    /** Take in a message of the wire. */
    function receive(wireMessage) {
      const MsgKey = need('WAWebMsgKey').default;
      const Msg = need('WAWebMsgModel').default;
      const id = new MsgKey(wireMessage.key);
      const known = collection().get(id);
      if (known) {
        return known;
      }
      const self = id.fromMe ? 'out' : 'in';
      const message = add(new Msg(toAttributes(wireMessage, { id, isNewMsg: true, self })));
      const chat = chatOf(id.remote);
      if (chat && !id.fromMe) {
        chat.set('unreadCount', (chat.unreadCount || 0) + 1);
      }
      return message;
    }

    async function hydrateChat(chatId) {
      const records = await storage.messagesOf(chatId);
      return hydrate(records.sort((one, other) => one.t - other.t));
    }

    Object.assign(exports, {
      add,
      findById,
      findOwn,
      hydrate,
      hydrateChat,
      persist,
      receive,
      toRecord,
    });
  });

  define('WAWebHandleMsg', (exports) => {
    const { findById, persist } = need('SimMessages');

    exports.handleSingleMsg = async (chatId, wireMessage) => {
      const { key, notifyName } = wireMessage;
      await need('SimChats').ensure(chatId);
      need('SimContacts').meet(chatId, notifyName);
      const MsgKey = need('WAWebMsgKey').default;
      let message = await findById(new MsgKey(key));
      if (!message) {
        [message] = await collection().processMultipleMessages(chatId, [wireMessage]);
        await persist(message);
      }
      need('SimWire').send({ t: 'recv', id: key.id, chat: chatId.toString() });
      return message;
    };
  });

  define('WAWebChatMessageSearch', (exports) => {
    exports.getSearchContext = ({ chat, msgKey }) => {
      chat.msgs.loadAroundPromise = need('SimMessages').findById(msgKey);
      return { collection: chat.msgs, msg: undefined, key: msgKey };
    };
  });

  define('WAWebDBMessageFindLocal', (exports) => {
    async function find({ anchor, count, direction }) {
      const messages = await need('SimMessages').hydrateChat(anchor.remote.toString());
      const index = messages.findIndex((message) => message.id.equals(anchor));
      const after = direction === 'after';
      const from = after ? index + 1 : Math.max(0, index - count);
      return { messages: messages.slice(from, after ? from + count : index) };
    }

    Object.assign(exports, {
      msgFindByDirection: find,
      msgFindBefore: (options) => find({ ...options, direction: 'before' }),
      msgFindAfter: (options) => find({ ...options, direction: 'after' }),
      msgFindCallLog: async () => [],
      msgFindEvents: async () => [],
      msgFindMedia: async () => ({ messages: [] }),
      msgFindSearch: async () => ({ messages: [] }),
      msgFindStarred: async () => [],
    });
  });

  define('WAWebMsgDataFromModel', (exports) => {
    exports.msgDataFromMsgModel = (message) => need('SimMessages').toRecord(message);
  });
})();

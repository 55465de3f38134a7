/**
 * Collections: the stores wa-js calls MsgStore, ChatStore, ContactStore, GroupMetadataStore and so on.
 *
 * Certainty: export names (`MsgCollection`, `MsgCollectionImpl`, …) are what wa-js matches, the ids of the
 * large ones are what whatsapp-web.js requires [S]; small ones are looked up only.
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  const createWid = (text) => need('WAWebWidFactory').createWid(text);
  const login = () => need('SimIdentity').login();

  /**
   * Define a collection's module.
   * @param {string} moduleId
   * @param {object} shape `model`: module of the model, or a function that returns the class; `impl` and
   *   `instance`: names the class and its one object are exported as; `build`: class from the base class.
   */
  function defineCollection(moduleId, { model, impl, instance, build }) {
    define(moduleId, (exports) => {
      const { BaseCollection } = need('WAWebBaseCollection');
      const collection = build ? build(BaseCollection) : class extends BaseCollection {};
      collection.model = typeof model === 'function' ? model() : need(model).default;
      if (impl) {
        exports[impl] = collection;
      }
      if (instance) {
        exports[instance] = new collection();
      }
    });
  }

  define('WAWebChatLoadMessages', (exports) => {
    const { BaseCollection } = need('WAWebBaseCollection');

    class ChatMsgsCollection extends BaseCollection {
      constructor() {
        super();
        this.msgLoadState = {
          contextLoaded: true,
          isLoadingEarlierMsgs: false,
          noEarlierMsgs: false,
        };
      }
    }
    ChatMsgsCollection.model = need('WAWebMsgModel').default;
    exports.ChatMsgsCollection = ChatMsgsCollection;

    exports.loadEarlierMsgs = async (chatOrOptions) => {
      const chat = chatOrOptions.chat || chatOrOptions;
      return need('SimMessages').hydrateChat(chat.id.toString());
    };
  });

  define('WAWebSuperChatMsgs', (exports) => {
    exports.default = class {
      onEmptyMRM() {
        throw new Error('onEmptyMRM not implemented');
      }
    };
  });

  defineCollection('WAWebMsgCollection', {
    model: 'WAWebMsgModel',
    impl: 'MsgCollectionImpl',
    instance: 'MsgCollection',
    build: (BaseCollection) =>
      class MsgCollectionImpl extends BaseCollection {
        async processMultipleMessages(_chatId, messages) {
          return messages.map((message) => need('SimMessages').receive(message));
        }

        async getMessagesById(ids) {
          const found = await Promise.all(ids.map((id) => need('SimMessages').findById(id)));
          return { messages: found.filter(Boolean) };
        }
      },
  });

  defineCollection('WAWebChatCollection', {
    model: 'WAWebChatModel',
    impl: 'ChatCollectionImpl',
    instance: 'ChatCollection',
    build: (BaseCollection) =>
      class ChatCollectionImpl extends BaseCollection {
        getActive() {
          return this.findFirst((chat) => chat.active);
        }

        async find(id) {
          const wid = createWid(String(id));
          const { chat } = await need('WAWebFindChatAction').findOrCreateLatestChat(wid);
          return chat;
        }
      },
  });

  defineCollection('WAWebContactCollection', {
    model: 'WAWebContactModel',
    impl: 'ContactCollectionImpl',
    instance: 'ContactCollection',
    build: (BaseCollection) =>
      class ContactCollectionImpl extends BaseCollection {
        getMeContact() {
          return login() && this.get(login().wid);
        }
      },
  });

  define('WAWebGroupParticipantCollection', (exports) => {
    const { BaseCollection } = need('WAWebBaseCollection');

    class ParticipantCollection extends BaseCollection {
      _me() {
        return login() && (this.get(login().lid) || this.get(login().wid));
      }

      iAmMember() {
        return !!this._me();
      }

      iAmAdmin() {
        const me = this._me();
        return !!me && (me.isAdmin || me.isSuperAdmin);
      }

      iAmSuperAdmin() {
        const me = this._me();
        return !!me && me.isSuperAdmin;
      }

      iAmRestrictedMember() {
        return false;
      }

      canAdd() {
        return this.iAmAdmin();
      }

      canRemove(participant) {
        return this.iAmAdmin() && participant !== this._me();
      }

      canPromote() {
        return this.iAmAdmin();
      }

      canDemote() {
        return this.iAmAdmin();
      }
    }
    ParticipantCollection.model = need('WAWebParticipantModel').default;
    exports.default = ParticipantCollection;
  });

  defineCollection('WAWebGroupMetadataCollection', {
    model: 'WAWebGroupMetadataModel',
    instance: 'default',
    build: (BaseCollection) =>
      class GroupMetadataCollection extends BaseCollection {
        _handleParentGroupChange() {}

        onParentGroupChange() {}

        async find(id) {
          const metadata = this.gadd(createWid(String(id)));
          return metadata.stale ? this.update(id) : metadata;
        }

        async update(id) {
          const metadata = this.gadd(createWid(String(id)));
          const group = await need('SimWire').request('group_info', { gid: String(id) });
          metadata.participants.reset();
          metadata.participants.add(
            group.participants.map((participant) => ({
              id: createWid(participant.id),
              isAdmin: participant.admin,
              isSuperAdmin: participant.superadmin,
            })),
          );
          metadata.set({
            subject: group.subject,
            owner: createWid(group.owner),
            creation: group.creation,
            isLidAddressingMode: group.lid_mode,
            announce: group.announce,
            stale: false,
          });
          return metadata;
        }
      },
  });

  defineCollection('WAWebPresenceCollection', {
    model: () => need('WAWebPresenceModel').Presence,
    impl: 'PresenceCollectionImpl_',
    instance: 'PresenceCollection',
  });
  defineCollection('WAWebChatstateCollection', {
    model: () => need('WAWebChatstateModel').Chatstate,
    impl: 'ChatstateCollectionImpl',
    instance: 'ChatstateCollection_',
  });
  defineCollection('WAWebStatusCollection', {
    model: 'WAWebChatModel',
    impl: 'StatusCollectionImpl',
    instance: 'StatusCollection',
    build: (BaseCollection) =>
      class StatusCollectionImpl extends BaseCollection {
        getMyStatus() {
          return null;
        }
      },
  });
  defineCollection('WAWebCallCollection', {
    model: 'WAWebCallModel',
    instance: 'default',
    build: (BaseCollection) =>
      class CallCollection extends BaseCollection {
        constructor() {
          super();
          this.callMap = new Map();
        }

        processIncomingCall() {}
      },
  });

  /** Collections that are only looked up: module id → [module of the model, class name, object name]. */
  const PLAIN_COLLECTIONS = {
    WAWebBlocklistCollection: [
      'WAWebBlocklistModel',
      'BlocklistCollectionImpl',
      'BlocklistCollection',
    ],
    WAWebBusinessProfileCollection: [
      'WAWebBusinessProfileModel',
      null,
      'BusinessProfileCollection',
    ],
    WAWebButtonCollection: ['WAWebReplyButtonModel', 'default', null],
    WAWebCartCollection: ['WAWebCartModel', null, 'CartCollection'],
    WAWebCatalogCollection: ['WAWebCatalogModel', null, 'CatalogCollection'],
    WAWebLabelCollection: ['WAWebLabelModel', 'LabelCollectionImpl_', 'LabelCollection'],
    WAWebMsgInfoCollection: ['WAWebMsgInfoModel', null, 'MsgInfoCollection'],
    WAWebMuteCollection: ['WAWebMuteModel', null, 'MuteCollection'],
    WAWebNewsletterCollection: ['WAWebChatModel', 'NewsletterCollectionImpl', 'default'],
    WAWebNoteCollection: ['WAWebNoteModel', null, 'NoteCollection'],
    WAWebOrderCollection: ['WAWebOrderModel', null, 'OrderCollection'],
    WAWebProfilePicThumbCollection: [
      'WAWebProfilePicThumbModel',
      'ProfilePicThumbCollectionImpl',
      'ProfilePicThumbCollection',
    ],
    WAWebQuickReplyCollection: ['WAWebQuickReplyModel', null, 'QuickReplyCollection'],
    WAWebReactionsCollection: ['WAWebReactionsModel', null, 'ReactionsCollection'],
    WAWebStickerCollection: ['WAWebStickerModel', 'StickerCollectionImpl', 'StickerCollection_'],
    WAWebTemplateButtonCollection: ['WAWebTemplateButtonModel', 'TemplateButtonCollection', null],
    WAWebTextStatusCollection: [
      'WAWebContactModel',
      'TextStatusCollectionImpl',
      'TextStatusCollection',
    ],
  };
  for (const [moduleId, [model, impl, instance]] of Object.entries(PLAIN_COLLECTIONS)) {
    defineCollection(moduleId, { model, impl, instance });
  }

  define('WAWebCollections', (exports) => {
    const members = {
      Msg: () => need('WAWebMsgCollection').MsgCollection,
      Chat: () => need('WAWebChatCollection').ChatCollection,
      Contact: () => need('WAWebContactCollection').ContactCollection,
      GroupMetadata: () => need('WAWebGroupMetadataCollection').default,
      Label: () => need('WAWebLabelCollection').LabelCollection,
      Blocklist: () => need('WAWebBlocklistCollection').BlocklistCollection,
      BusinessProfile: () => need('WAWebBusinessProfileCollection').BusinessProfileCollection,
      Features: () => ({ supportsFeature: () => true }),
      Status: () => need('WAWebStatusCollection').StatusCollection,
    };
    for (const [name, get] of Object.entries(members)) {
      Object.defineProperty(exports, name, { enumerable: true, get });
    }
  });
})();

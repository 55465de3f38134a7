/**
 * Models: message, chat, contact, group metadata, participant, media data, presence, and plain ones.
 *
 * Certainty: attributes and methods are what wa-js, wppconnect and whatsapp-web.js read [S]; the ids of most
 * model modules are guesses (README), which wa-js does not mind: it finds them by their exports.
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  const MEDIA_TYPES = new Set(['image', 'video', 'audio', 'ptt', 'document', 'sticker']);
  const chatOf = (id) => need('WAWebChatCollection').ChatCollection.get(id);
  const contactOf = (id) => need('WAWebContactCollection').ContactCollection.get(id);

  /** A module whose default export is a model class, made by `build(BaseModel)`. */
  function defineModel(moduleId, proxyName, build) {
    define(moduleId, (exports) => {
      const { BaseModel } = need('WAWebBaseModel');
      const model = build ? build(BaseModel) : class extends BaseModel {};
      model.prototype.proxyName = proxyName;
      exports.default = model;
    });
  }

  defineModel('WAWebMsgModel', 'msg', (BaseModel) => {
    class Msg extends BaseModel {
      get _chat() {
        return chatOf(this.id.remote);
      }

      get isSentByMe() {
        return this.id.fromMe;
      }

      get isMedia() {
        return MEDIA_TYPES.has(this.type);
      }

      get isStatusV3() {
        return false;
      }

      get senderObj() {
        return contactOf(this.sender);
      }

      get sender() {
        return this.author || this.from;
      }

      get chatId() {
        return this.id.remote;
      }

      updateAck(ack) {
        this.set('ack', ack);
      }

      msgContextInfo() {
        return {
          quotedMsg: this.serialize(),
          quotedStanzaID: this.id.id,
          quotedParticipant: this.sender,
        };
      }

      avParams() {
        return {};
      }

      async downloadMedia() {
        const media = this.mediaData;
        if (!media) {
          throw new Error('no media');
        }
        media.set('mediaStage', 'FETCHING');
        const response = await fetch(this.directPath || media.directPath);
        if (!response.ok) {
          media.set('mediaStage', 'ERROR_MISSING');
          throw new Error(`media fetch ${response.status}`);
        }
        const blob = new Blob([await response.arrayBuffer()], { type: this.mimetype });
        const OpaqueData = need('WAWebMediaOpaqueData').default;
        media.set({
          mediaBlob: await OpaqueData.createFromData(blob, this.mimetype),
          mediaStage: 'RESOLVED',
        });
        need('WAWebMediaInMemoryBlobCache').InMemoryMediaBlobCache.put(media.filehash, blob);
      }
    }
    Msg.defaults = {
      ack: 0,
      isNewMsg: false,
      star: false,
      broadcast: false,
      links: () => [],
      mentionedJidList: () => [],
      groupMentions: () => [],
      vcardWAids: () => [],
      isVcardOverMmsDocument: false,
      isForwarded: false,
      hasReaction: false,
    };
    return Msg;
  });

  defineModel('WAWebChatModel', 'chat', (BaseModel) => {
    class Chat extends BaseModel {
      initialize() {
        const { ChatMsgsCollection } = need('WAWebChatLoadMessages');
        const { PresenceCollection } = need('WAWebPresenceCollection');
        this.msgs = new ChatMsgsCollection();
        this.msgs.chat = this;
        this.mute = { expiration: 0, isMuted: false };
        this.presence = PresenceCollection.gadd(this.id);
        if (this.id.isGroup()) {
          this._put('groupMetadata', need('WAWebGroupMetadataCollection').default.gadd(this.id));
        }
      }

      get contact() {
        return contactOf(this.id);
      }

      get formattedTitle() {
        return this.name || (this.contact && this.contact.name) || this.id.user;
      }

      get isReadOnly() {
        return false;
      }

      get canSend() {
        return true;
      }

      get isParentGroup() {
        return false;
      }
    }
    Chat.defaults = {
      unreadCount: 0,
      t: () => need('WATimeUtils').unixTime(),
      archive: false,
      pin: 0,
      isLocked: false,
      ephemeralDuration: 0,
      notSpam: true,
      active: false,
      lastReceivedKey: undefined,
      pausedTimerId: undefined,
    };
    return Chat;
  });

  defineModel('WAWebContactModel', 'contact', (BaseModel) => {
    class Contact extends BaseModel {}
    Contact.defaults = {
      name: undefined,
      pushname: undefined,
      type: 'in',
      isBusiness: false,
      isEnterprise: false,
      isContactBlocked: false,
      labels: () => [],
    };
    return Contact;
  });

  defineModel('WAWebParticipantModel', 'participant', (BaseModel) => {
    class Participant extends BaseModel {
      get contact() {
        return contactOf(this.id);
      }
    }
    Participant.defaults = { isAdmin: false, isSuperAdmin: false };
    return Participant;
  });

  defineModel('WAWebGroupMetadataModel', 'groupMetadata', (BaseModel) => {
    class GroupMetadata extends BaseModel {
      initialize() {
        const ParticipantCollection = need('WAWebGroupParticipantCollection').default;
        this._put('participants', new ParticipantCollection());
      }
    }
    GroupMetadata.defaults = {
      subject: undefined,
      stale: true,
      announce: false,
      restrict: false,
      isLidAddressingMode: false,
      groupType: 'DEFAULT',
    };
    return GroupMetadata;
  });

  defineModel('WAWebMediaDataModel', 'mediaData', (BaseModel) => {
    class MediaData extends BaseModel {}
    MediaData.defaults = { mediaStage: 'INIT' };
    return MediaData;
  });

  define('WAWebChatstateModel', (exports) => {
    const { BaseModel } = need('WAWebBaseModel');
    class Chatstate extends BaseModel {}
    Chatstate.prototype.proxyName = 'chatstate';
    Chatstate.defaults = { type: 'unavailable', t: 0 };
    exports.Chatstate = Chatstate;
  });

  define('WAWebPresenceModel', (exports) => {
    const { BaseModel } = need('WAWebBaseModel');
    const { Chatstate } = need('WAWebChatstateModel');

    class Presence extends BaseModel {
      initialize() {
        this._put('chatstate', new Chatstate({ id: this.id }));
      }

      async subscribe() {
        await need('SimPresence').subscribe(this.id);
      }

      get isUser() {
        return this.id.isUser();
      }

      get isGroup() {
        return this.id.isGroup();
      }
    }
    Presence.prototype.proxyName = 'presence';
    Presence.defaults = {
      isOnline: false,
      hasData: false,
      chatstates: () => ({ getModelsArray: () => [] }),
    };
    exports.Presence = Presence;
    exports.Chatstate = Chatstate;
  });

  /** Models that are only looked up, by module id. */
  const PLAIN_MODELS = {
    WAWebAttachMediaModel: 'attachMedia',
    WAWebBlocklistModel: 'blocklist',
    WAWebBotProfileModel: 'botProfile',
    WAWebBusinessProfileModel: 'businessProfile',
    WAWebCallModel: 'call',
    WAWebCartModel: 'cart',
    WAWebCatalogModel: 'catalog',
    WAWebLabelModel: 'label',
    WAWebMsgInfoModel: 'msgInfo',
    WAWebMuteModel: 'mute',
    WAWebNoteModel: 'note',
    WAWebOrderModel: 'order',
    WAWebProductModel: 'product',
    WAWebProfilePicThumbModel: 'profilePicThumb',
    WAWebQuickReplyModel: 'quickReply',
    WAWebReactionsModel: 'reactions',
    WAWebReplyButtonModel: 'replyButton',
    WAWebStickerModel: 'sticker',
    WAWebTemplateButtonModel: 'templateButton',
  };
  for (const [moduleId, proxyName] of Object.entries(PLAIN_MODELS)) {
    defineModel(moduleId, proxyName);
  }
})();

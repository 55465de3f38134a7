/**
 * Modules that the libraries look up and that are only answered here, with the emptiest honest answer.
 *
 * Some must exist so that wa-js can wrap them when it is fully ready, some are required by id by
 * whatsapp-web.js [S]. Nothing behind them is modelled. Which ids are guesses: README.
 */
(() => {
  'use strict';
  const { config, define, need } = window.__sim;

  const yes = () => true;
  const no = () => false;
  const nothing = async () => {};
  const environment = { isWeb: true, isWindows: false };
  const browserUtils = {
    info: () => ({ os: 'Linux', name: 'Chrome', version: '1' }),
    hardRefresh: () => location.reload(),
    id: 'x',
    startDownloading: () => {},
  };

  class SearchQuery {
    updateLabelQuery(filter) {
      this.filter = filter;
    }
  }

  const STUBS = {
    Bootloader: {},
    WAWebAddonPollVoteTableMode: { pollVoteTableMode: { bulkUpsert: nothing } },
    WAWebAddonReactionTableMode: { reactionTableMode: { bulkUpsert: nothing } },
    WAWebChatSearchQuery: { SearchQuery },
    WAWebCreateChatRecord: { createChatRecord: async () => ({}) },
    WAWebE2EProtoGenerator: { createMsgProtobuf: () => ({}) },
    WAWebE2EProtoUtils: {
      mediaTypeFromProtobuf: () => null,
      typeAttributeFromProtobuf: () => 'text',
      encodeMaybeMediaType: () => null,
    },
    WAWebEnvironment: { default: environment, ...environment },
    WAWebGenMinimalLinkPreview: { genMinimalLinkPreview: async () => null },
    WAWebGroupInviteJob: {
      queryGroupInviteCode: async () => ({ code: 'SIMCODE' }),
      joinGroupViaInvite: nothing,
      resetGroupInviteCode: nothing,
    },
    WAWebGroupModifyInfoJob: {
      setGroupSubject: nothing,
      setGroupDescription: nothing,
      setGroupProperty: nothing,
    },
    WAWebHistorySyncProgress: {
      getHistorySyncProgressModel: () => ({ progress: 100, inProgress: false, paused: false }),
    },
    WAWebIsOfficialClient: { isOfficialClient: false },
    WAWebLabelCollectionUtils: {
      addToLabelCollection: nothing,
      removeLabelFromCollection: nothing,
      createLabelItemId: () => '',
      getParentCollection: () => null,
      initializeLabels: () => {},
    },
    WAWebLinkPreviewChatAction: { getLinkPreview: async () => null },
    WAWebMediaDataUtils: { shouldUseMediaCache: yes },
    WAWebMediaSticker: {
      processRawSticker: async (blob) => ({ mediaBlob: blob }),
      isAnimatedWebp: no,
    },
    WAWebMediaThumb: { generateVideoThumbsAndDuration: async () => ({ duration: 1, thumbs: [] }) },
    WAWebMiscBrowserUtils: { default: browserUtils, info: browserUtils.info },
    WAWebMmsMediaTypes: { msgToMediaType: ({ type }) => type, castToV4: (type) => type },
    WAWebMsgActionCapability: {
      canEditText: yes,
      canEditCaption: yes,
      canStarMsg: yes,
      canSenderRevokeMsg: yes,
      canAdminRevokeMsg: no,
    },
    WAWebMsgGetters: { getIsUnreadType: yes, getAsMms: (message) => message },
    WAWebMsgReply: { canReplyMsg: yes },
    WAWebOfflineHandler: { OfflineMessageHandler: { getOfflineDeliveryProgress: () => 100 } },
    WAWebPinChatUtils: { getNumConversationsPinned: () => 0 },
    WAWebPollsVotesUpsert: { upsertVotes: nothing },
    WAWebPrimaryFeatures: { primaryFeatureEnabled: yes },
    WAWebQuotedMsgModelUtils: { getQuotedMsgObj: () => null },
    WAWebReactionSend: {
      sendReactionToMsg: async (message, emoji) =>
        need('SimWire').request('react', { id: message.id.toString(), e: emoji }),
    },
    WAWebReactionsBEUtils: { addOrUpdateReactionsModelCollection: () => {} },
    WAWebSendMsgCreateFanoutStanza: { createFanoutMsgStanza: async () => ({}) },
    WAWebSendMsgJob: { encryptAndSendMsg: nothing },
    WAWebSyncGatingUtils: { isPlaceholderMessageResendEnabled: no },
    WAWebUserPrefsNotifications: {},
  };
  for (const [id, values] of Object.entries(STUBS)) {
    define(id, (exports) => Object.assign(exports, values));
  }

  /** Ballast: the real page registers about 13,000 modules, which wa-js's finders walk through. */
  for (let number = 0; number < config.filler; number++) {
    define(`WAWebFiller${number}`, (exports) => {
      exports[`filler${number}`] = () => number;
      exports[`values${number}`] = { number };
    });
  }
})();

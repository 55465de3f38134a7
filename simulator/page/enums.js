/**
 * Constants and small pure functions that the libraries read.
 *
 * Certainty: values of ACK, socket state, stream, send result and message type are read in wa-js,
 * whatsapp-web.js [S] or copies of the real modules [R]; logout reasons and their URL codes are [R], except
 * `banned`, which is ours. Several module ids are guesses (README).
 */
(() => {
  'use strict';
  const { config, define } = window.__sim;

  /** `{A: 'A', B: 'B'}`, as the real mirrored enums are. */
  const mirrored = (...names) => Object.fromEntries(names.map((name) => [name, name]));
  const constants = (id, values) => define(id, (exports) => Object.assign(exports, values));

  constants('WAWebAck', {
    ACK: {
      MD_DOWNGRADE: -7,
      INACTIVE: -6,
      CONTENT_UNUPLOADABLE: -5,
      CONTENT_TOO_BIG: -4,
      CONTENT_GONE: -3,
      EXPIRED: -2,
      FAILED: -1,
      CLOCK: 0,
      SENT: 1,
      RECEIVED: 2,
      READ: 3,
      PLAYED: 4,
      PEER: 5,
    },
    ACK_STRING: {
      SENDER: 'sender',
      DELIVERY: 'delivery',
      READ: 'read',
      PLAYED: 'played',
      INACTIVE: 'inactive',
      READ_SELF: 'read-self',
      PLAYED_SELF: 'played-self',
    },
    EDIT_ATTR: { SENDER_REVOKE: 7, ADMIN_REVOKE: 8 },
  });

  constants('WAWebSocketConstants', {
    SOCKET_STATE: mirrored(
      'OPENING',
      'PAIRING',
      'UNPAIRED',
      'UNPAIRED_IDLE',
      'CONNECTED',
      'TIMEOUT',
      'CONFLICT',
      'UNLAUNCHED',
      'PROXYBLOCK',
      'TOS_BLOCK',
      'SMB_TOS_BLOCK',
      'DEPRECATED_VERSION',
    ),
    SOCKET_STREAM: mirrored('DISCONNECTED', 'SYNCING', 'RESUMING', 'CONNECTED'),
    WATCHED_SOCKET_STATE: mirrored('OPEN', 'CLOSED'),
  });

  constants('WAWebSendMsgResultAction', {
    SendMsgResult: mirrored(
      'OK',
      'ERROR_NETWORK',
      'ERROR_EXPIRED',
      'ERROR_CANCELLED',
      'ERROR_UPLOAD',
      'ERROR_UNKNOWN',
    ),
  });

  constants('WAWebMsgType', {
    MSG_TYPE: {
      CHAT: 'chat',
      IMAGE: 'image',
      VIDEO: 'video',
      AUDIO: 'audio',
      PTT: 'ptt',
      DOCUMENT: 'document',
      STICKER: 'sticker',
      LOCATION: 'location',
      VCARD: 'vcard',
      CIPHERTEXT: 'ciphertext',
      PROTOCOL: 'protocol',
      REVOKED: 'revoked',
      GP2: 'gp2',
    },
    SYSTEM_MESSAGE_TYPES: ['gp2', 'protocol', 'e2e_notification'],
  });

  /** Only these reasons have a code in the URL after a logout; the others leave `logout_reason` out [R]. */
  const LOGOUT_REASON_CODE = {
    CLIENT_FATAL: '0',
    SYNC_FAIL: '1',
    INITIAL_HISTORY_SYNC_TIMEOUT: '2',
    ACCOUNT_LOCKED: '3',
  };
  const CODE_OF_REASON = {
    web_fail_storage_initialization: LOGOUT_REASON_CODE.CLIENT_FATAL,
    syncd_failure: LOGOUT_REASON_CODE.SYNC_FAIL,
    history_sync_timeout: LOGOUT_REASON_CODE.INITIAL_HISTORY_SYNC_TIMEOUT,
    account_locked: LOGOUT_REASON_CODE.ACCOUNT_LOCKED,
    banned: LOGOUT_REASON_CODE.ACCOUNT_LOCKED,
  };

  define('WAWebLogoutReason', (exports) => {
    const query = new URLSearchParams(location.search);
    let previousCode = query.get('logout_reason');
    let previousMessage = query.get('logout_message_header');
    Object.assign(exports, {
      LogoutReason: {
        UserInitiated: 'user_initiated',
        SyncdFailure: 'syncd_failure',
        HistorySyncTimeout: 'history_sync_timeout',
        UnknownCompanion: 'unknown_companion',
        AccountLocked: 'account_locked',
        WebFailStorageInitialization: 'web_fail_storage_initialization',
        DeviceRemoved: 'device_removed',
        Banned: 'banned',
      },
      LOGOUT_REASON_CODE,
      getErrorCodeFromLogoutReason: (reason) => CODE_OF_REASON[reason] ?? null,
      setPrevLogoutReasonCode: (code) => {
        previousCode = code;
      },
      setPrevCustomLogoutMessage: (message) => {
        previousMessage = message;
      },
      getPrevLogoutReasonCode: () => previousCode,
      getPrevCustomLogoutMessage: () => previousMessage,
    });
  });

  constants('WAWebCallEnums', {
    CALL_STATES: mirrored('INCOMING_RING', 'OUTGOING_RING', 'ACTIVE', 'ENDED', 'REJECTED'),
  });
  constants('WAWebGroupConstants', {
    GROUP_SETTING_TYPE: {
      ANNOUNCEMENT: 'announcement',
      RESTRICT: 'restrict',
      EPHEMERAL: 'ephemeral',
    },
  });
  constants('WAWebOutwardTypes', { OUTWARD_TYPES: {} });
  constants('WAWebPinConstants', {
    PIN_STATE: { PIN: 1, UNPIN: 2 },
    PinExpiryDurationOption: { D1: 86400 },
    getPinExpiryDuration: () => 86400,
  });
  constants('WAWebKicEntryPoint', {
    KIC_ENTRY_POINT_TYPE: { CHAT: 0 },
    CHANNEL_EVENT_SURFACE: { UNKNOWN: 0 },
  });
  constants('WAWebNonJidMentionType', { default: { MENTION_ALL: 1 } });
  constants('WAWapDict', { DROP_ATTR: Symbol('DROP_ATTR') });
  constants('WAWebABProps', { getABPropConfigValue: () => undefined });

  constants('WAWebBuildConstants', {
    SANITIZED_VERSION_STR: config.version,
    VERSION_STR: config.version,
    VERSION_BASE: config.version,
  });

  constants('WATimeUtils', {
    unixTime: () => Math.floor(Date.now() / 1000),
    unixTimeMs: () => Date.now(),
    happenedWithin: () => true,
  });

  constants('WABase64', {
    encodeB64: (buffer) =>
      btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join('')),
    decodeB64: (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer,
  });

  constants('WAMd5', { md5: (text) => text, md5ArrayBufferHex: () => '' });

  define('WALinkify', (exports) => {
    const LINK = /https?:\/\/\S+/g;
    const findLinks = (text) =>
      (String(text || '').match(LINK) || []).map((href) => ({ href, url: href }));
    const findLink = (text) => findLinks(text)[0] || null;
    Object.assign(exports, { findLink, findLinks, findFirstWebLink: findLink });
  });
})();

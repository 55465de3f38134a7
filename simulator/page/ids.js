/**
 * Identifiers: Wid (`user@server`), jids, MsgKey (`true_<chat>_<ID>[_<participant>]`).
 *
 * Stand for WAWebWid, WAWebWidFactory and WAWebMsgKey. Certainty: forms, names and the MsgKey error text are
 * what wa-js and whatsapp-web.js use [S]; own ids begin with `3EB0` [S].
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  const hex = (bytes) =>
    Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))
      .join('')
      .toUpperCase();
  const randomHex = (length) => hex(crypto.getRandomValues(new Uint8Array(length)));

  define('WAWebWid', (exports) => {
    const no = () => false;

    class Wid {
      constructor(text) {
        const match = /^([^@]*?)(?::(\d+))?@(.+)$/.exec(text);
        if (!match) {
          throw new Error(`wid error: invalid wid ${text}`);
        }
        const [, user, device, server] = match;
        this.server = server;
        this.user = user;
        if (device !== undefined) {
          this.device = Number(device);
        }
        this._serialized = text;
      }

      toString() {
        return this._serialized;
      }

      toJid() {
        return this._serialized.replace('@c.us', '@s.whatsapp.net');
      }

      toJSON() {
        return this._serialized;
      }

      equals(other) {
        return !!other && this._serialized === (other._serialized || String(other));
      }

      isUser() {
        return this.server === 'c.us' || this.server === 'lid';
      }

      isLid() {
        return this.server === 'lid';
      }

      isRegularUserPn() {
        return this.server === 'c.us';
      }

      isGroup() {
        return this.server === 'g.us';
      }

      isBroadcast() {
        return this.server === 'broadcast';
      }

      isNewsletter() {
        return this.server === 'newsletter';
      }

      isStatus() {
        return this._serialized === 'status@broadcast';
      }

      isCompanion() {
        return this.getDeviceId() !== 0;
      }

      isSameAccount(other) {
        return this.user === other.user;
      }

      isSameAccountAndAddressingMode(other) {
        return this.equals(other);
      }

      getDeviceId() {
        return this.device || 0;
      }

      getSignalAddress() {
        return `${this.user}.${this.getDeviceId()}`;
      }

      isLessThan(other) {
        return this._serialized < other._serialized;
      }

      isGreaterThan(other) {
        return this._serialized > other._serialized;
      }

      static isXWid(server, text) {
        return String(text).endsWith(`@${server}`);
      }

      static isWid(text) {
        return /^[^@]*@[^@]+$/.test(String(text));
      }

      static user(text) {
        return String(text).split('@')[0];
      }

      static equals(one, other) {
        return String(one) === String(other);
      }

      static isUser(text) {
        return Wid.isXWid('c.us', text) || Wid.isXWid('lid', text);
      }

      static isStatus(text) {
        return String(text) === 'status@broadcast';
      }
    }

    Object.assign(Wid.prototype, {
      isRegularUser: Wid.prototype.isUser,
      isUserNotPSA: Wid.prototype.isUser,
      isStatusV3: Wid.prototype.isStatus,
      isServer: no,
      isPSA: no,
      isIAS: no,
      isBot: no,
      isGroupCall: no,
      isOfficialBizAccount: no,
      isSupportAccount: no,
    });
    Object.assign(Wid, {
      canBeWid: Wid.isWid,
      isStatusV3: Wid.isStatus,
      isLid: (text) => Wid.isXWid('lid', text),
      isGroup: (text) => Wid.isXWid('g.us', text),
      isBroadcast: (text) => Wid.isXWid('broadcast', text),
      isNewsletter: (text) => Wid.isXWid('newsletter', text),
    });
    exports.default = Wid;
  });

  define('WAWebWidFactory', (exports) => {
    const Wid = need('WAWebWid').default;
    const fromText = (text) => new Wid(String(text).replace('@s.whatsapp.net', '@c.us'));
    const createWid = (value) => (value instanceof Wid ? value : fromText(value));
    const withoutDevice = (wid) => new Wid(`${wid.user}@${wid.server}`);

    function createUserWid(user, server) {
      return String(user).includes('@') ? createWid(user) : new Wid(`${user}@${server || 'c.us'}`);
    }

    function isWidlike(value) {
      const looksAlike =
        !!value &&
        typeof value === 'object' &&
        typeof value.user === 'string' &&
        typeof value.server === 'string';
      return value instanceof Wid || looksAlike;
    }

    Object.assign(exports, {
      createWid,
      createUserWid,
      createUserWidOrThrow: createUserWid,
      createDeviceWid: createWid,
      isWidlike,
      createWidFromWidLike: (value) =>
        value instanceof Wid
          ? value
          : createWid(value._serialized || `${value.user}@${value.server}`),
      asUserWidOrThrow: withoutDevice,
      toUserWid: withoutDevice,
      toUserWidOrThrow: withoutDevice,
      asChatWid: createWid,
      toChatWid: createWid,
    });
  });

  define('WAWebWidToJid', (exports) => {
    const toJid = (wid) => wid.toJid();
    Object.assign(exports, { widToUserJid: toJid, widToGroupJid: toJid, widToChatJid: toJid });
  });

  define('WAWebJidToWid', (exports) => {
    const { createWid } = need('WAWebWidFactory');
    Object.assign(exports, { chatJidToChatWid: createWid, userJidToUserWid: createWid });
  });

  define('WAJids', (exports) => {
    exports.interpretAndValidateJid = (jid) => ({ jidType: 'phoneUser', jid });
  });

  define('WAWebWidFormat', (exports) => {
    Object.assign(exports, { GROUP_JID: 'g.us', CHAT_JID: 'c.us', STATUS_JID: 'status@broadcast' });
  });

  define('WAHex', (exports) => {
    exports.randomHex = randomHex;
  });

  define('WAWebMsgKey', (exports) => {
    const { createWid } = need('WAWebWidFactory');
    const asWid = (value) => (typeof value === 'string' ? createWid(value) : value);

    class MsgKey {
      /** From `{from, to, selfDir, id, participant?}` or from `{fromMe, remote, id, participant?}`. */
      constructor(parts) {
        if (parts === null || parts === undefined) {
          throw new Error('MsgKey error: obj is null/undefined');
        }
        if (parts.from && parts.to && parts.selfDir) {
          this.fromMe = parts.selfDir === 'out';
          this.remote = this.fromMe ? parts.to : parts.from;
        } else {
          this.fromMe = !!parts.fromMe;
          this.remote = asWid(parts.remote);
        }
        this.id = parts.id;
        if (parts.participant) {
          this.participant = asWid(parts.participant);
        }
        const texts = [this.fromMe ? 'true' : 'false', this.remote.toString(), this.id];
        if (this.participant) {
          texts.push(this.participant.toString());
        }
        this._serialized = texts.join('_');
      }

      toString() {
        return this._serialized;
      }

      clone() {
        return new MsgKey(this);
      }

      equals(other) {
        return !!other && this._serialized === (other._serialized || String(other));
      }

      static fromString(text) {
        const [fromMe, remote, id, participant] = String(text).split('_');
        if (id === undefined) {
          throw new Error(`MsgKey error: invalid key ${text}`);
        }
        return new MsgKey({ fromMe: fromMe === 'true', remote, id, participant });
      }

      static from(value) {
        return typeof value === 'string' ? MsgKey.fromString(value) : new MsgKey(value);
      }

      static async newId() {
        return `3EB0${randomHex(9)}`;
      }

      static newId_DEPRECATED() {
        return `3EB0${randomHex(6)}`;
      }
    }

    exports.default = MsgKey;
  });
})();

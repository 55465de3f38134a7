/**
 * Contacts: phone number ↔ LID, getters, and the question whether a number is on WhatsApp.
 *
 * Certainty: every user has two ids, `…@c.us` and `…@lid` [F]; `queryExists` looks into the contacts first,
 * so a known contact never asks the service [S]; getter names are what wa-js binds [S].
 */
(() => {
  'use strict';
  const { config, define, need } = window.__sim;

  const createWid = (text) => need('WAWebWidFactory').createWid(text);

  define('SimLidMap', (exports) => {
    const phoneByLid = new Map();
    const lidByPhone = new Map();

    /** Remember that both ids are one user. */
    exports.learn = (phone, lid) => {
      if (phone && lid) {
        lidByPhone.set(phone, lid);
        phoneByLid.set(lid, phone);
      }
    };
    exports.phoneOf = (lid) => phoneByLid.get(String(lid));
    exports.lidOf = (phone) => lidByPhone.get(String(phone));
  });

  define('WAWebLidPnCache', (exports) => {
    const asWid = (text) => (text ? createWid(text) : undefined);
    exports.lidPnCache = {
      getPhoneNumber: (lid) => asWid(need('SimLidMap').phoneOf(lid)),
      getCurrentLid: (phone) => asWid(need('SimLidMap').lidOf(phone)),
    };
  });

  define('WAWebApiContact', (exports) => {
    const cache = need('WAWebLidPnCache').lidPnCache;
    Object.assign(exports, {
      getCurrentLid: (wid) => (wid.isLid() ? wid : cache.getCurrentLid(wid)),
      getPhoneNumber: (wid) => (wid.isLid() ? cache.getPhoneNumber(wid) : wid),
      getAlternateUserWid: (wid) =>
        wid.isLid() ? cache.getPhoneNumber(wid) : cache.getCurrentLid(wid),
    });
  });

  define('WAWebLidMigrationUtils', (exports) => {
    const toLid = (wid) => need('WAWebApiContact').getCurrentLid(wid);
    const toPn = (wid) => need('WAWebApiContact').getPhoneNumber(wid);
    Object.assign(exports, { toPn, toLid, toUserLid: toLid });
  });

  define('WAWebLid1X1MigrationGating', (exports) => {
    exports.Lid1X1MigrationUtils = { isLidMigrated: () => config.lidChats };
  });

  define('WAWebDBCreateLidPnMappings', (exports) => {
    exports.createLidPnMappings = async () => {};
  });

  define('WAWebContactGetters', (exports) => {
    const no = () => false;
    const nothing = () => undefined;
    const isMe = (contact) => need('WAWebUserPrefsMeUser').isMeAccount(contact.id);
    Object.assign(exports, {
      getCanRequestPhoneNumber: no,
      getIsBroadcast: (contact) => contact.id.isBroadcast(),
      getIsDisplayNameApproved: no,
      getIsEnterprise: no,
      getIsGroup: (contact) => contact.id.isGroup(),
      getIsIAS: no,
      getIsMe: isMe,
      getIsNewsletter: (contact) => contact.id.isNewsletter(),
      getIsPSA: no,
      getIsSupportAccount: no,
      getIsUser: (contact) => contact.id.isUser(),
      getIsWAContact: (contact) => contact.id.isUser(),
      getName: (contact) => contact.name,
      getNotifyName: (contact) => contact.notifyName || contact.pushname,
      getPremiumMessageName: nothing,
      getPushname: (contact) => contact.pushname,
      getShortName: (contact) => contact.name,
      getShouldForceBusinessUpdate: no,
      getShowBusinessCheckmarkAsPrimary: no,
      getShowBusinessCheckmarkAsSecondary: no,
      getShowBusinessCheckmarkInChatlist: no,
      getStatusMute: no,
      getUserid: (contact) => contact.id.user,
      getVerifiedLevel: () => 0,
      getVerifiedName: nothing,
    });
  });

  define('WAWebFrontendContactGetters', (exports) => {
    const shownName = (contact) => contact.name || contact.pushname || contact.id.user;
    const shownPhone = (contact) => `+${contact.id.user}`;
    Object.assign(exports, {
      getDisplayName: shownName,
      getFormattedName: shownName,
      getFormattedPhone: shownPhone,
      getFormattedShortName: shownName,
      getFormattedShortNameWithNonBreakingSpaces: shownName,
      getFormattedUser: shownName,
      getFormattedUsernameOrPhone: shownPhone,
      getHeader: shownName,
      getIsMyContact: (contact) => !!contact.name,
      getMentionName: shownName,
      getPhoneNumber: (contact) => contact.id,
      getPnForLid: () => undefined,
      getSearchName: shownName,
      getSearchVerifiedName: () => '',
      getTextStatusString: () => '',
      getUserDisplayNameForLid: shownName,
    });
  });

  define('WAWebQueryExistsJob', (exports) => {
    exports.queryWidExists = async (wid) => {
      const answer = await need('SimWire').request('exists', { jid: wid.toString() });
      if (!answer.exists) {
        return null;
      }
      need('SimLidMap').learn(answer.wid, answer.lid);
      return {
        wid: createWid(answer.wid),
        lid: answer.lid ? createWid(answer.lid) : undefined,
        biz: answer.biz,
        bizInfo: undefined,
        disappearingMode: undefined,
      };
    };
    exports.queryPhoneExists = (phone) =>
      exports.queryWidExists(createWid(`${String(phone).replace(/^\+/, '')}@c.us`));
  });

  define('SimContacts', (exports) => {
    /** Take in one contact of the login's answer: by phone, and by LID where it has one. */
    exports.add = ({ wid, lid, name, pushname, biz }) => {
      const { ContactCollection } = need('WAWebContactCollection');
      need('SimLidMap').learn(wid, lid);
      ContactCollection.add({ id: createWid(wid), name, pushname, isBusiness: !!biz });
      if (lid) {
        ContactCollection.add({ id: createWid(lid), name, phoneNumber: createWid(wid) });
      }
    };

    /** A stranger who writes becomes a contact with the name he gives. */
    exports.meet = (wid, pushname) => {
      const { ContactCollection } = need('WAWebContactCollection');
      if (wid.isUser() && !ContactCollection.get(wid)) {
        ContactCollection.add({ id: wid, pushname });
      }
    };
  });
})();

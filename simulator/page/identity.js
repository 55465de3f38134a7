/**
 * Who this client is: keys, registration, the linked account.
 *
 * Stands for the login state of WhatsApp Web. Certainty: whether a client is registered is known
 * synchronously at load (here from a localStorage mirror) while IndexedDB decides at boot [R]; the QR text is
 * `ref,noise key,identity key,adv secret,platform` [S].
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  const MIRROR = 'sim-creds';
  const LAST_WID = 'last-wid-md';
  const PLATFORM = '1';

  const createWid = (text) => need('WAWebWidFactory').createWid(text);

  define('SimIdentity', (exports) => {
    const storage = need('SimStorage');
    let keys = null;
    let login = readMirror();

    function readMirror() {
      try {
        return JSON.parse(localStorage.getItem(MIRROR));
      } catch (error) {
        console.error('the login mirror is unreadable', error);
        return null;
      }
    }

    function writeMirror() {
      localStorage.setItem(LAST_WID, JSON.stringify(login.wid));
      localStorage.setItem(MIRROR, JSON.stringify(login));
    }

    function newKeys() {
      const random = (length) => crypto.getRandomValues(new Uint8Array(length)).buffer;
      return {
        identity: random(32),
        noise: random(32),
        adv: need('WABase64').encodeB64(random(32)),
      };
    }

    Object.assign(exports, {
      isRegistered: () => !!login,
      /** `{token, wid, lid, pushname, platform}` of the linked account, or null. */
      login: () => login,
      keys: () => keys,

      /** Read the login from IndexedDB, which decides; make keys on the first boot. */
      async load() {
        login = (await storage.get('kv', 'creds')) || null;
        if (!login) {
          localStorage.removeItem(MIRROR);
        }
        keys = await storage.get('kv', 'keys');
        if (!keys) {
          keys = newKeys();
          await storage.put('kv', keys, 'keys');
        }
      },

      async link(linked) {
        login = linked;
        await storage.put('kv', linked, 'creds');
        writeMirror();
      },

      forget() {
        login = null;
      },

      qrText(ref) {
        const { encodeB64 } = need('WABase64');
        return [ref, encodeB64(keys.noise), encodeB64(keys.identity), keys.adv, PLATFORM].join(',');
      },
    });
  });

  const identity = () => need('SimIdentity');

  define('WAWebSignalStoreApi', (exports) => {
    exports.waSignalStore = {
      getRegistrationInfo: async () => ({
        registrationId: 1,
        identityKeyPair: { pubKey: identity().keys().identity },
      }),
    };
  });

  define('WAWebUserPrefsInfoStore', (exports) => {
    exports.waNoiseInfo = {
      get: async () => ({ staticKeyPair: { pubKey: identity().keys().noise } }),
    };
  });

  define('WAWebUserPrefsMultiDevice', (exports) => {
    exports.getADVSecretKey = () => identity().keys().adv;
    exports.setADVSignedIdentity = () => {};
  });

  define('WAWebAdvSignatureApi', (exports) => {
    exports.generateADVSecret = () => identity().keys().adv;
  });

  define('WAWebCompanionRegClientUtils', (exports) => {
    exports.DEVICE_PLATFORM = PLATFORM;
    exports.getCompanionWebClientFromBrowser = () => 1;
  });

  define('WAWebLoginStateApi', (exports) => {
    exports.isLoggedIn = () => identity().isRegistered();
    exports.isRegistered = () => identity().isRegistered();
  });

  define('WAWebUserPrefsMeUser', (exports) => {
    const wid = (pick) => () => {
      const login = identity().login();
      return login ? createWid(pick(login)) : undefined;
    };
    const orThrow = (read, what) => () => {
      const found = read();
      if (!found) {
        throw new Error(`no ${what}: not linked`);
      }
      return found;
    };
    const getPn = wid((login) => login.wid);
    const getLid = wid((login) => login.lid);

    Object.assign(exports, {
      getMaybeMePnUser: getPn,
      getMaybeMeLidUser: getLid,
      getMe: getPn,
      getMePnUserOrThrow_DO_NOT_USE: orThrow(getPn, 'me'),
      getMeLidUserOrThrow: orThrow(getLid, 'me lid'),
      getMaybeMeDevicePn: wid((login) => login.wid.replace('@', ':1@')),
      isMeAccount: (user) => {
        const login = identity().login();
        return !!login && [login.wid, login.lid].includes(user.toString());
      },
    });
  });

  define('WAWebUserPrefsGeneral', (exports) => {
    for (const kind of ['Photos', 'Audio', 'Videos', 'Documents']) {
      exports[`getAutoDownload${kind}`] = () => false;
      exports[`setAutoDownload${kind}`] = () => {};
    }
    Object.assign(exports, {
      getTheme: () => 'light',
      setTheme: () => {},
      getPushname: () => identity().login()?.pushname,
      setBrowserId: () => {},
      getUserPrivacySettings: () => ({}),
    });
  });

  define('WAWebAltDeviceLinkingApi', (exports) => {
    const linkCode = async (phone, push) =>
      (await need('SimWire').request('altlink', { phone, push })).code;
    Object.assign(exports, {
      setPairingType: () => {},
      initializeAltDeviceLinking: async () => {},
      initializeQRLinking: async () => {},
      genLinkDeviceCodeForPhoneNumber: linkCode,
      startAltLinkingFlow: linkCode,
    });
  });

  define('WAWebLinkDeviceEvents', (exports) => {
    const EventEmitter = need('WAWebEventEmitter').default;
    class LinkDeviceEvents extends EventEmitter {
      triggerRefreshAltLinkingCode() {
        this.trigger('link_device_events:refresh_alt_linking_code');
      }
    }
    exports.WAWebLinkDeviceEvents = new LinkDeviceEvents();
  });

  define('WAWebLaunchSocketUtils', (exports) => {
    exports.refreshQR = () => need('SimConnection').refreshQR();
  });
})();

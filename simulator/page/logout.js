/**
 * The ways a login ends: logout, unlinked by the phone, ban, storage failure.
 *
 * Certainty: a logout clears credentials and storage, triggers `logout_from_bridge` and reloads to
 * `?post_logout=1`, with `logout_reason` where the reason has a code [R]; a failure to initialise the storage
 * does the same with code 0 [R], and so do browsers that refuse persistent storage [F]. One difference on
 * purpose: the real client gives **no** reason when the phone removes the device and for ban code 406 [R];
 * here `conn.logout_reason` says `device_removed` and `banned`.
 */
(() => {
  'use strict';
  const { config, define, need } = window.__sim;

  /** Set while a logout could not clear the storage; the next boot does it [R]. */
  const DIRTY = 'logout-dirty';

  define('SimLogout', (exports) => {
    /** After such a logout the client does not log out again, so that the QR screen can be reached [R]. */
    const isAlreadyOut = () =>
      !need('SimIdentity').isRegistered() &&
      new URLSearchParams(location.search).has('post_logout');

    function reloadAfterLogout(code, message) {
      const query = new URLSearchParams({ post_logout: '1' });
      if (code) {
        query.set('logout_reason', code);
      }
      if (message && message.header) {
        query.set('logout_message_header', message.header);
      }
      if (message && message.subtext) {
        query.set('logout_message_subtext', message.subtext);
      }
      setTimeout(() => {
        location.href = `/?${query}`;
      }, config.logoutReloadMs);
    }

    async function tellService() {
      try {
        await need('SimWire').request('logout', {});
      } catch (error) {
        console.warn('the service was not told of the logout', error);
      }
    }

    /**
     * End the login.
     * @param {string} reason one of WAWebLogoutReason.LogoutReason, or a text of the service
     * @param {object} [options] `tellService`: ask it to remove this device; `message`: `{header, subtext}`
     */
    exports.logout = async (reason, options = {}) => {
      if (options.tellService) {
        await tellService();
      }
      need('SimConnection').end();
      const code = need('WAWebLogoutReason').getErrorCodeFromLogoutReason(reason);
      need('SimIdentity').forget();
      await need('SimStorage').clear();
      localStorage.clear();
      need('WAWebBackendEventBus').BackendEventBus.trigger('logout_from_bridge');
      need('WAWebCmd').Cmd.logout();
      need('WAWebSocketModel').Socket.set('hasSynced', undefined);
      need('SimState').setSocketState('UNPAIRED');
      reloadAfterLogout(code, options.message);
    };

    /** The storage cannot be used: fatal, and the login is lost unless `storageErrorLogout` is off. */
    exports.storageFailed = (why) => {
      console.error(`storage initialization error, logging out: ${why}`);
      need('WAWebBackendEventBus').BackendEventBus.trigger('storage_initialization_error');
      need('SimConnection').end();
      if (!config.storageErrorLogout || isAlreadyOut()) {
        return;
      }
      need('SimIdentity').forget();
      localStorage.clear();
      localStorage.setItem(DIRTY, '1');
      const { CLIENT_FATAL } = need('WAWebLogoutReason').LOGOUT_REASON_CODE;
      reloadAfterLogout(CLIENT_FATAL);
    };

    /** At boot: clear what a logout left behind. */
    exports.finishPending = async () => {
      if (localStorage.getItem(DIRTY)) {
        await need('SimStorage').clear();
        localStorage.removeItem(DIRTY);
      }
    };

    exports.isAlreadyOut = isAlreadyOut;
  });
})();

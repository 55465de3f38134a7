/**
 * Faults the service can put on a page: bans, terms block, wedged, deaf, lost storage.
 *
 * Certainty: what each ban does is [R] (a temporary ban keeps the login and announces itself on the event
 * bus; a locked account logs out with code 3); TOS_BLOCK as a state of socket and stream is [R][S], what puts
 * a client there and takes it out is a guess. A wedged page answers nothing and shows no event [M]; a deaf
 * page and an evicted storage are field reports [F].
 */
(() => {
  'use strict';
  const { config, define, need } = window.__sim;

  const FAREWELLS = new Set(['banned', 'account_locked']);
  const TERMS_STATES = { tos_block: 'TOS_BLOCK', smb_tos_block: 'SMB_TOS_BLOCK' };
  /** What a deaf page does not hear; acks and answers still come, so it looks alive. */
  const UNHEARD = new Set(['msg', 'receipt', 'chatstate', 'group']);

  define('SimFaults', (exports) => {
    let deaf = config.deaf;

    function announceTemporaryBan(ban) {
      need('WAWebBackendEventBus').BackendEventBus.trigger('account_temporarily_banned', ban);
    }

    function banForNow({ code, expire, message, url }) {
      const ban = { banned: true, code, expire, message, url };
      announceTemporaryBan(ban);
      need('SimScreen').temporaryBan(ban);
      need('SimWire').close();
    }

    /** The service refused the login or ended it: `failure` frame, or a `stream_error` of the same name. */
    exports.refused = async (frame) => {
      const reason = frame.reason || frame.code;
      if (TERMS_STATES[reason]) {
        need('SimScreen').terms();
        need('SimConnection').halt(TERMS_STATES[reason]);
        return;
      }
      if (reason === 'temp_banned') {
        banForNow(frame);
        return;
      }
      const message = FAREWELLS.has(reason)
        ? { header: frame.header, subtext: frame.subtext }
        : undefined;
      await need('SimLogout').logout(reason, { message });
    };

    exports.loginAccepted = () => announceTemporaryBan({ banned: false });

    exports.hears = (kind) => !(deaf && UNHEARD.has(kind));

    exports.setDeaf = ({ on }) => {
      deaf = !!on;
    };

    /** Keep the main thread busy. */
    exports.wedge = ({ ms }) => {
      const end = performance.now() + ms;
      while (performance.now() < end);
    };

    /** The browser evicted this site's data, without a word to the client. */
    exports.loseStorage = async ({ reload = true }) => {
      await need('SimStorage').destroy();
      localStorage.clear();
      if (reload) {
        location.href = '/';
      }
    };
  });
})();

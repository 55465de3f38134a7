/**
 * The state of the connection as WhatsApp Web shows it: Socket, Stream, Conn, Cmd, network, event bus.
 *
 * Certainty: `Stream.mode` and `Stream.info` are derived and never set, by the rules below [R]; once synced
 * the mode stays MAIN while the socket is down [R][M]; `takeover()` throws without a conflict [R]; names of
 * states and events are what wa-js listens to [S].
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  /** States of the socket that are modes of the stream as well. */
  const BLOCKED = new Set(['PROXYBLOCK', 'CONFLICT', 'TOS_BLOCK', 'SMB_TOS_BLOCK']);

  define('WAWebSocketModel', (exports) => {
    const { BaseModel } = need('WAWebBaseModel');

    class SocketModel extends BaseModel {
      initConn() {
        need('SimConnection').connect();
      }

      reconnect() {
        need('SimConnection').connect();
      }

      logout() {
        need('SimLogout').logout('user_initiated', { tellService: true });
      }

      takeover() {
        if (this.state !== 'CONFLICT') {
          throw new Error('Takeover called without conflict!');
        }
        need('SimConnection').takeover();
      }

      poke() {
        need('SimConnection').refreshQR();
      }

      sendBasic() {}
    }
    SocketModel.prototype.proxyName = 'socket';
    SocketModel.defaults = {
      state: 'UNLAUNCHED',
      stream: 'DISCONNECTED',
      hasSynced: false,
      canSend: false,
      retryTimestamp: null,
      launched: false,
    };
    exports.Socket = new SocketModel();
  });

  define('WAWebStreamModel', (exports) => {
    const { BaseModel } = need('WAWebBaseModel');
    const { Socket } = need('WAWebSocketModel');
    const network = need('WAWebNetworkStatus').default;

    function modeOf({ state, stream, hasSynced }) {
      if (!need('SimIdentity').isRegistered() && state !== 'PROXYBLOCK') {
        return 'QR';
      }
      if (BLOCKED.has(state)) {
        return state;
      }
      if (state === 'UNPAIRED' || state === 'UNPAIRED_IDLE') {
        return 'QR';
      }
      if (state === 'OPENING' && !network.online && !hasSynced) {
        return 'OFFLINE';
      }
      const launched = state !== 'UNLAUNCHED';
      return launched && (hasSynced || stream === 'CONNECTED') ? 'MAIN' : 'SYNCING';
    }

    function infoOf({ state, stream, hasSynced }) {
      if (state === 'OPENING') {
        return network.online ? 'OPENING' : 'OFFLINE';
      }
      if (state === 'PAIRING') {
        return hasSynced ? 'RESUMING' : 'PAIRING';
      }
      const syncing = state === 'CONNECTED' && stream !== 'CONNECTED' && !hasSynced;
      return syncing ? 'SYNCING' : 'NORMAL';
    }

    class StreamModel extends BaseModel {
      update() {
        const info = infoOf(Socket);
        this.set({ mode: modeOf(Socket), info, displayInfo: info });
      }

      markAvailable() {
        this.set('available', true);
      }

      markUnavailable() {
        this.set('available', false);
      }
    }
    StreamModel.defaults = {
      mode: undefined,
      info: undefined,
      displayInfo: 'OPENING',
      needsUpdate: false,
      available: false,
      obscurity: 'SHOW',
      hardExpired: false,
      couldForce: false,
    };

    const mirrored = (...names) => Object.fromEntries(names.map((name) => [name, name]));
    exports.Stream = new StreamModel();
    exports.StreamInfo = mirrored(
      'OFFLINE',
      'OPENING',
      'PAIRING',
      'SYNCING',
      'RESUMING',
      'CONNECTING',
      'NORMAL',
    );
    exports.StreamMode = mirrored(
      'QR',
      'MAIN',
      'SYNCING',
      'OFFLINE',
      'CONFLICT',
      'PROXYBLOCK',
      'TOS_BLOCK',
      'SMB_TOS_BLOCK',
      'DEPRECATED_VERSION',
    );
    Socket.on('change:state change:stream change:hasSynced', () => exports.Stream.update());
    network.on('change:online', () => exports.Stream.update());
  });

  define('WAWebConnModel', (exports) => {
    const { BaseModel } = need('WAWebBaseModel');
    class Conn extends BaseModel {}
    Conn.prototype.proxyName = 'conn';
    Conn.defaults = {
      ref: undefined,
      refTTL: undefined,
      connected: undefined,
      wid: undefined,
      pushname: undefined,
      platform: undefined,
      battery: undefined,
      plugged: undefined,
      smbTos: undefined,
      lc: 'US',
      lg: 'en',
      is24h: true,
    };
    exports.ConnImpl = Conn;
    exports.Conn = new Conn();
  });

  define('WAWebCmd', (exports) => {
    const EventEmitter = need('WAWebEventEmitter').default;

    class CmdImpl extends EventEmitter {
      constructor() {
        super();
        this.isMainLoaded = false;
        this.uiBusy = 0;
      }

      mainLoaded() {
        this.isMainLoaded = true;
        this.trigger('main_loaded');
      }

      logout() {
        this.trigger('logout');
      }

      refreshQR() {
        need('SimConnection').refreshQR();
      }

      async openChatBottom() {
        return true;
      }

      async openChatAt() {
        return true;
      }

      async openChatFromUnread() {
        return true;
      }

      closeChat() {}

      openModal() {}

      closeModal() {}
    }
    exports.CmdImpl = CmdImpl;
    exports.Cmd = new CmdImpl();
  });

  define('WAWebNetworkStatus', (exports) => {
    const { BaseModel } = need('WAWebBaseModel');

    class NetworkStatus extends BaseModel {
      checkOnline() {
        return this.online;
      }
    }
    NetworkStatus.defaults = { online: navigator.onLine };
    exports.default = new NetworkStatus();
    window.addEventListener('online', () => exports.default.set('online', true));
    window.addEventListener('offline', () => exports.default.set('online', false));
  });

  define('WAWebBackendEventBus', (exports) => {
    const EventEmitter = need('WAWebEventEmitter').default;
    exports.BackendEvent = {
      SET_SOCKET_STATE: 'set_socket_state',
      STORAGE_INITIALIZATION_ERROR: 'storage_initialization_error',
      LOGOUT: 'logout_from_bridge',
      ACCOUNT_TEMPORARILY_BANNED: 'account_temporarily_banned',
    };
    exports.BackendEventBus = new EventEmitter();
  });

  define('SimState', (exports) => {
    /** Set the socket's state and announce it on the event bus, where wa-js taps it. */
    exports.setSocketState = (state) => {
      need('WAWebSocketModel').Socket.set('state', state);
      need('WAWebBackendEventBus').BackendEventBus.trigger('set_socket_state', state);
    };
  });
})();

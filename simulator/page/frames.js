/**
 * What arrives on the socket, frame by frame.
 *
 * Certainty: the frames are ours; the order of events at pairing, restore and login follows what was seen in
 * wa-js and copies of real modules [S][R], their timing is a guess.
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  const createWid = (text) => need('WAWebWidFactory').createWid(text);
  const conn = () => need('WAWebConnModel').Conn;
  const socket = () => need('WAWebSocketModel').Socket;
  const setSocketState = (state) => need('SimState').setSocketState(state);

  define('SimFrames', (exports) => {
    /** Inbound messages are taken in one after the other, so that their order stands. */
    let inbox = Promise.resolve();

    const HANDLERS = {
      ref({ ref, ttl }) {
        need('SimConnection').settled();
        conn().set({ ref, refTTL: ttl });
        if (socket().state !== 'UNPAIRED') {
          setSocketState('UNPAIRED');
        }
        need('SimScreen').qr(need('SimIdentity').qrText(ref));
      },

      qr_idle() {
        conn().set('ref', undefined);
        setSocketState('UNPAIRED_IDLE');
        need('SimScreen').qrIdle();
      },

      alt_hello() {
        const events = need('WAWebLinkDeviceEvents').WAWebLinkDeviceEvents;
        events.trigger('link_device_events:primary_hello_received');
      },

      async pair({ creds }) {
        const { wid, lid, pushname, platform } = creds;
        setSocketState('PAIRING');
        need('SimScreen').loading();
        need('SimLidMap').learn(wid, lid);
        await need('SimIdentity').link(creds);
        need('WAWebStreamModel').Stream.update();
        conn().set({ wid: createWid(wid), pushname, platform, connected: true });
        need('SimConnection').logIn();
      },

      async success({ pushname, platform, contacts, groups, sync_ms: syncMs }) {
        need('SimConnection').settled();
        need('SimFaults').loginAccepted();
        const { wid } = need('SimIdentity').login();
        conn().set({ wid: createWid(wid), pushname, platform, connected: true });
        if (!socket().hasSynced) {
          socket().set('stream', 'SYNCING');
        }
        setSocketState('CONNECTED');
        contacts.forEach(need('SimContacts').add);
        await need('SimGroups').restore(groups);
        if (!need('WAWebCmd').Cmd.isMainLoaded) {
          need('WAWebCmd').Cmd.mainLoaded();
        }
        need('SimConnection').syncFor(socket().hasSynced ? 0 : syncMs);
      },

      failure: (frame) => need('SimFaults').refused(frame),

      stream_error(frame) {
        if (frame.code === 'conflict') {
          return need('SimConnection').halt('CONFLICT');
        }
        if (frame.code === 'logout') {
          return need('SimLogout').logout('device_removed');
        }
        return need('SimFaults').refused(frame);
      },

      iqr: ({ id, r }) => need('SimWire').answer(id, r),

      ack: (frame) => need('SimSending').settle(frame),

      receipt: (frame) => need('SimReceipts').receive(frame),

      msg({ msg }) {
        const chatId = createWid(msg.key.remote);
        const taken = inbox.then(() => need('WAWebHandleMsg').handleSingleMsg(chatId, msg));
        inbox = taken.catch(() => {});
        return taken;
      },

      group: (frame) => need('SimGroups').changed(frame),

      chatstate: (frame) => need('SimPresence').receive(frame),

      tos_accepted: () => need('SimConnection').resume(),

      wedge: (frame) => need('SimFaults').wedge(frame),

      deaf: (frame) => need('SimFaults').setDeaf(frame),

      storage_loss: (frame) => need('SimFaults').loseStorage(frame),

      storage_error: () => need('SimLogout').storageFailed('told by the service'),
    };

    exports.receive = async (frame) => {
      const handle = HANDLERS[frame.t];
      if (!handle || !need('SimFaults').hears(frame.t)) {
        return;
      }
      try {
        await handle(frame);
      } catch (error) {
        console.error(`frame ${JSON.stringify(frame).slice(0, 200)}`, error);
      }
    };
  });
})();

/**
 * Sends in flight: as long as there is one, this page gets no new socket.
 *
 * On its next socket WhatsApp Web sends by itself whatever has no ack yet. Its server would see a message that is no
 * attempt of ours and has no place in the rate window (promise 3). So the page is spoilt by the first socket it asks for
 * with a send in flight: that one and all later ones fail, and Python, which is told, renews the page; a fresh one
 * forgets what was in flight (simulator/README.md, `resend_pending`). Then the message is looked up, and repeated as an attempt.
 *
 * A send is in flight from before its call until its ack is known, for good if the call hangs or ends without one. Where
 * WhatsApp keeps its socket in a worker nothing is seen here. Runs behind the bridge.
 */
(() => {
  'use strict';
  const { report } = window.__wafleet;

  /** Full keys; few, since Python renews the page before it sends anything behind a send without an ack. */
  const flights = new Set();
  let spoilt = false;

  /** Whether the server has answered meanwhile: 0 is a message that waits, and no message one that is not stored yet. */
  const landed = (key) => Boolean(WPP.whatsapp.MsgStore.get(key)?.ack);

  function mayRepeat() {
    for (const key of flights) {
      if (landed(key)) {
        flights.delete(key);
      }
    }
    return flights.size > 0;
  }

  window.WebSocket = new Proxy(window.WebSocket, {
    construct(target, args, newTarget) {
      const socket = Reflect.construct(target, args, newTarget);
      spoilt ||= mayRepeat();
      if (spoilt) {
        // Closed before it is open it never opens: to WhatsApp's code a connection that failed, as they do.
        socket.close();
        report('stranded', {});
      }
      return socket;
    },
  });

  Object.defineProperty(window, '__wafleetFlights', {
    value: Object.freeze({
      begin: (key) => flights.add(key),
      end: (key) => flights.delete(key),
    }),
  });
})();

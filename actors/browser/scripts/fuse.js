/**
 * The fuse: ends this page at a moment that only a living owner of the session can move on.
 *
 * An owner that is frozen can't close its browser, and somebody else may take the session once its lease has run out
 * (DESIGN 7 "Lease"). So the page ends itself before that: it closes its sockets, opens no new ones, and leaves for
 * `about:blank`. It holds at every send of a socket too, since a page that was busy comes to its timers last.
 *
 * A function of the moment until which a page that loads first may live, and of the longest time it may. Moments are
 * milliseconds on the page's own clock, which no step of the machine's clock moves. A page that loads itself anew goes
 * on with the moment of the one before.
 */
(until, most) => {
  'use strict';
  if (window !== window.top || !/^https?:$/.test(location.protocol) || window.__wafleetFuse) {
    return;
  }

  const KEY = '__wafleetFuse';
  /** How long a page whose moment has come waits for an arming that is on its way already. */
  const GRACE_MS = 250;

  const now = () => performance.timeOrigin + performance.now();
  const sockets = new Set();
  let moment = inherited() ?? Math.min(until, now() + most);
  let burnt = false;
  let timer = null;

  /** Storage may be denied: then there is nothing to inherit, and the page ends sooner rather than later. */
  function inherited() {
    try {
      const left = Number(sessionStorage.getItem(KEY) ?? NaN);
      sessionStorage.removeItem(KEY);
      return Number.isFinite(left) ? left : null;
    } catch {
      return null;
    }
  }

  function bequeath() {
    try {
      sessionStorage.setItem(KEY, String(moment));
    } catch {
      // As in `inherited`.
    }
  }

  function burn() {
    if (!burnt) {
      burnt = true;
      sockets.forEach((socket) => socket.close());
      location.replace('about:blank');
    }
  }

  /** Whether the page's time is over. */
  const isOut = () => burnt || now() >= moment;

  function wait() {
    clearTimeout(timer);
    timer = setTimeout(() => (isOut() ? setTimeout(() => (isOut() ? burn() : wait()), GRACE_MS) : wait()), moment - now());
  }

  window.WebSocket = new Proxy(window.WebSocket, {
    construct(target, args, newTarget) {
      if (isOut()) {
        burn();
        throw new DOMException('this page has ended', 'AbortError');
      }
      const socket = Reflect.construct(target, args, newTarget);
      sockets.add(socket);
      socket.addEventListener('close', () => sockets.delete(socket));
      return socket;
    },
  });

  WebSocket.prototype.send = new Proxy(WebSocket.prototype.send, {
    apply(target, socket, args) {
      if (isOut()) {
        burn();
        return undefined;
      }
      return Reflect.apply(target, socket, args);
    },
  });

  // First in line: no handler of the site can keep the page.
  window.addEventListener('beforeunload', (event) => burnt && event.stopImmediatePropagation(), true);
  window.addEventListener('pagehide', bequeath);

  Object.defineProperty(window, '__wafleetFuse', {
    value: Object.freeze({
      isOut,
      /** Move the moment on; returns the page's time, null if the page has ended. */
      arm(next) {
        if (burnt) {
          return null;
        }
        moment = next;
        wait();
        return now();
      },
    }),
  });
  wait();
}

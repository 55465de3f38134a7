/**
 * The socket to the simulated service: JSON frames over `/ws/chat`.
 *
 * Stands for WhatsApp's Noise/WAP socket; nothing of the real encoding is modelled. What is: a request that
 * gets no answer fails after 20 s, and every request pending at a disconnect fails at once [guess].
 */
(() => {
  'use strict';
  const { define } = window.__sim;

  const REQUEST_TIMEOUT_MS = 20000;

  define('SimWire', (exports) => {
    let socket = null;
    /** What the open socket's end is told to. */
    let tellClosed = null;
    let lastRequest = 0;
    /** Request id → function that takes the answer. */
    const pending = new Map();

    /** Send a frame; false when there is no open socket. */
    function send(frame) {
      if (!socket || socket.readyState !== WebSocket.OPEN) {
        return false;
      }
      socket.send(JSON.stringify(frame));
      return true;
    }

    /** Ask the service; rejects on an `error` in the answer, a disconnect or the deadline. */
    function request(op, args) {
      return new Promise((resolve, reject) => {
        const id = ++lastRequest;
        const settle = (answer) => {
          clearTimeout(deadline);
          pending.delete(id);
          if (answer && answer.error) {
            reject(Object.assign(new Error(answer.error), answer));
          } else {
            resolve(answer);
          }
        };
        const deadline = setTimeout(
          () => settle({ error: `iq timeout ${op}` }),
          REQUEST_TIMEOUT_MS,
        );
        pending.set(id, settle);
        if (!send({ t: 'iq', id, op, args })) {
          settle({ error: 'not connected' });
        }
      });
    }

    function answer(id, result) {
      const settle = pending.get(id);
      if (settle) {
        settle(result);
      }
    }

    function failPending() {
      for (const settle of [...pending.values()]) {
        settle({ error: 'disconnected' });
      }
    }

    /** Forget the socket without a word to `onClose` (takeover opens another one). */
    function abandon() {
      const abandoned = socket;
      socket = null;
      failPending();
      if (abandoned) {
        abandoned.onmessage = null;
        abandoned.close();
      }
    }

    /** Open a socket; `onClose` is told of its end unless `abandon` was called before. */
    function open({ onOpen, onFrame, onClose }) {
      const opened = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/ws/chat`);
      socket = opened;
      tellClosed = onClose;
      opened.onopen = onOpen;
      opened.onmessage = (event) => onFrame(JSON.parse(event.data));
      opened.onclose = () => {
        if (socket === opened) {
          close();
        }
      };
    }

    /** End the socket. It counts as closed at once: an offline page may get no closing handshake for 10 s. */
    function close() {
      if (socket) {
        abandon();
        tellClosed();
      }
    }

    Object.assign(exports, {
      send,
      request,
      answer,
      open,
      isOpenOrOpening: () => !!socket && socket.readyState <= WebSocket.OPEN,
      close,
      abandon,
    });
  });
})();

/**
 * The few elements of the page that programs or people look at.
 *
 * Certainty: wppconnect reads the QR from `[data-ref]` and the `canvas` inside it, and the idle button beside
 * it [S]; the screens' looks are ours. The canvas shows a pattern, not a readable QR code: read `data-ref`.
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  const CANVAS_PX = 228;
  const PATTERN_CELLS = 20;
  const CELL_PX = 11;
  const ACCOUNT_LOCKED_CODE = '3';

  define('SimScreen', (exports) => {
    const root = () => document.getElementById('app');

    function element(tag, attributes, ...children) {
      const node = document.createElement(tag);
      for (const [name, value] of Object.entries(attributes)) {
        node.setAttribute(name, value);
      }
      node.append(...children);
      return node;
    }

    const show = (...nodes) => root().replaceChildren(...nodes);

    function drawPattern(canvas, text) {
      const context = canvas.getContext('2d');
      for (let cell = 0; cell < PATTERN_CELLS ** 2; cell++) {
        if (text.charCodeAt(cell % text.length) & (1 << (cell % 7))) {
          const column = cell % PATTERN_CELLS;
          const row = Math.floor(cell / PATTERN_CELLS);
          context.fillRect(column * CELL_PX, row * CELL_PX, CELL_PX - 1, CELL_PX - 1);
        }
      }
    }

    /** After a logout because of a ban the QR screen says so. */
    function banner() {
      const reasons = need('WAWebLogoutReason');
      if (reasons.getPrevLogoutReasonCode() !== ACCOUNT_LOCKED_CODE) {
        return [];
      }
      const text =
        reasons.getPrevCustomLogoutMessage() || 'This account can no longer use WhatsApp';
      return [element('div', { id: 'ban-banner' }, text)];
    }

    exports.qr = (code) => {
      const label = 'Scan this QR code to link a device!';
      const canvas = element('canvas', {
        width: CANVAS_PX,
        height: CANVAS_PX,
        'aria-label': label,
      });
      drawPattern(canvas, code);
      const holder = element('div', { 'data-ref': code }, canvas);
      show(element('div', { class: 'landing-wrapper' }, ...banner(), holder));
    };

    exports.qrIdle = () => {
      const button = element('button', {}, 'Click to reload QR code');
      button.onclick = () => need('SimConnection').refreshQR();
      const holder = element('div', { 'data-ref': '' }, button, element('canvas', {}));
      show(element('div', { class: 'landing-wrapper' }, ...banner(), holder));
    };

    exports.main = () => {
      show(
        element('div', { class: 'two', tabindex: '-1' }, element('div', { id: 'side' }, 'Chats')),
      );
    };

    exports.loading = () => show(element('div', {}, 'Loading your chats'));

    exports.temporaryBan = ({ code, expire }) => {
      show(element('div', { id: 'temporary-ban' }, `Banned for ${expire} s more (code ${code})`));
    };

    exports.terms = () => show(element('div', { id: 'terms' }, 'Accept the terms on your phone'));
  });
})();

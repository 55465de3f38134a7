/**
 * Receipts: delivered, read, played.
 *
 * Certainty: there are three entry points, one each for chats, groups and status, and wa-js wraps them to
 * fire `chat.msg_ack_change` for acks of 2 and more [S]; an ack never goes down [guess].
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  async function applyReceipt({ externalIds, from, ack }) {
    const { findOwn, persist } = need('SimMessages');
    for (const bareId of externalIds) {
      const message = await findOwn(bareId, from);
      if (message && message.ack < ack) {
        message.set('ack', ack);
        await persist(message);
      }
    }
  }

  const entryPoint = (id, name) =>
    define(id, (exports) => {
      exports[name] = applyReceipt;
    });
  entryPoint('WAWebHandleChatSimpleReceipt', 'handleChatSimpleReceipt');
  entryPoint('WAWebHandleGroupSimpleReceipt', 'handleGroupSimpleReceipt');
  entryPoint('WAWebHandleStatusSimpleReceipt', 'handleStatusSimpleReceipt');

  define('SimReceipts', (exports) => {
    const { createWid } = need('WAWebWidFactory');
    const { ACK } = need('WAWebAck');
    const ACK_OF_TYPE = { delivery: ACK.RECEIVED, read: ACK.READ, played: ACK.PLAYED };

    exports.receive = ({ type, id, ids, from, participant, ts }) => {
      const receipt = {
        type,
        stanzaId: id,
        externalIds: ids,
        from: createWid(from),
        participant: participant ? createWid(participant) : null,
        recipient: null,
        ts,
        ack: ACK_OF_TYPE[type],
        ackString: type,
        offline: null,
      };
      return receipt.from.isGroup()
        ? need('WAWebHandleGroupSimpleReceipt').handleGroupSimpleReceipt(receipt)
        : need('WAWebHandleChatSimpleReceipt').handleChatSimpleReceipt(receipt);
    };
  });
})();

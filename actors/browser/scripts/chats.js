/** Operations on chats: finding recipients, sending with a fixed id, looking messages up. Added to the bridge. */
(() => {
  'use strict';
  const { operations } = window.__wafleet;
  const flights = window.__wafleetFlights;

  const text = (value) => (value === undefined || value === null ? null : String(value));
  const wid = (address) => WPP.whatsapp.WidFactory.createWid(address);

  /**
   * Ask whether a user exists. `WPP.contact.queryExists` answers null for "no" and for "the question failed" alike
   * (it swallows the error), so a null is asked again in a way that can fail.
   */
  async function exists(address) {
    return (await WPP.contact.queryExists(address)) ?? (await WPP.whatsapp.functions.queryWidExists(wid(address)));
  }

  function bothIds(address, found) {
    const known = WPP.whatsapp.ApiContact;
    const id = wid(address);
    const phone = id.isLid() ? known.getPhoneNumber(id) : (found?.wid ?? id);
    const lid = id.isLid() ? id : (found?.lid ?? known.getCurrentLid(id));
    return { phone: text(phone), lid: text(lid) };
  }

  /** The participant that ends the key of an own message; wa-js itself knows which of our ids the chat wants. */
  async function ownId(chat) {
    const key = await WPP.chat.generateMessageID(chat);
    return text(key.participant);
  }

  async function options(argument) {
    const quoted = argument.replyTo ? { quotedMsg: argument.replyTo } : {};
    // Reading a chat is a command of its own; sending must not mark what people wrote as read.
    return { messageId: argument.key, markIsRead: false, ...quoted };
  }

  /** What a send came to; an exception after the message was handed over is an outcome too, not a failure. */
  async function outcome(key, sending) {
    flights.begin(key);
    try {
      const sent = await sending();
      const result = text(sent.sendMsgResult?.messageSendResult ?? sent.sendMsgResult);
      const ack = WPP.whatsapp.MsgStore.get(key)?.ack ?? sent.ack;
      if (ack || result === 'OK') {
        flights.end(key);
      }
      return { id: text(sent.id), ack, result };
    } catch (error) {
      const message = WPP.whatsapp.MsgStore.get(key);
      if (!message) {
        flights.end(key);
        throw error;
      }
      return { id: key, ack: message.ack, result: String(error?.message ?? error).slice(0, 500) };
    }
  }

  /** Look a key up in the store alone: no chat is opened for it. */
  async function stored(key) {
    const { messages } = await WPP.whatsapp.MsgStore.getMessagesById([key]);
    return messages[0] ?? null;
  }

  /** Look one key up. null means that this page has never stored it; whatever else goes wrong is thrown. */
  async function find(key, chatId) {
    try {
      await WPP.chat.find(chatId);
    } catch (error) {
      if (WPP.whatsapp.Socket.state !== 'CONNECTED') {
        throw error;
      }
      // A group that was left meanwhile can't be opened any more; the store still knows what was sent to it.
      return stored(key);
    }
    try {
      return await WPP.chat.getMessageById(key);
    } catch (error) {
      if (error?.code === 'msg_not_found') {
        return null;
      }
      if (error?.code === 'chat_not_found') {
        // The chat goes by its other id now (phone or lid); the store itself knows keys of both.
        return stored(key);
      }
      throw error;
    }
  }

  Object.assign(operations, {
    async resolve(address) {
      if (wid(address).isGroup()) {
        const group = await WPP.chat.find(address);
        return { chatId: text(group.id), phone: null, lid: null, ownId: await ownId(group) };
      }
      const found = await exists(address);
      if (!found) {
        return null;
      }
      const chat = await WPP.chat.find(found.wid ?? address);
      return { chatId: text(chat.id), ...bothIds(address, found), ownId: null };
    },

    async sendText(argument) {
      const chosen = await options(argument);
      return outcome(argument.key, () => WPP.chat.sendTextMessage(argument.chatId, argument.text, chosen));
    },

    async sendLocation(argument) {
      const chosen = { ...(await options(argument)), lat: argument.latitude, lng: argument.longitude };
      if (argument.description) {
        chosen.name = argument.description;
      }
      return outcome(argument.key, () => WPP.chat.sendLocationMessage(argument.chatId, chosen));
    },

    /** The file comes in by an input element: base64 through `evaluate` would cost the driver hundreds of MiB. */
    async sendFile(argument) {
      const file = new File([argument.input.files[0]], argument.filename, { type: argument.mimetype });
      const chosen = {
        ...(await options(argument)),
        type: argument.type,
        filename: argument.filename,
        mimetype: argument.mimetype,
      };
      if (argument.caption) {
        chosen.caption = argument.caption;
      }
      if (argument.voice) {
        chosen.isPtt = true;
      }
      return outcome(argument.key, () => WPP.chat.sendFileMessage(argument.chatId, file, chosen));
    },

    /** `others`: the keys under which the message would lie if its chat had gone by another id. */
    async lookup({ key, chatId, others }) {
      let message = await find(key, chatId);
      for (const other of message ? [] : others) {
        message ??= await stored(other);
      }
      return message && { id: text(message.id), ack: message.ack };
    },

    async identities(address) {
      return bothIds(address, null);
    },

    async checkContacts(addresses) {
      return Promise.all(
        addresses.map(async (address) => {
          const found = await exists(address);
          if (!found) {
            return { exists: false };
          }
          const ids = bothIds(address, found);
          const chat = [ids.lid, ids.phone].find((id) => id && WPP.whatsapp.ChatStore.get(id));
          return { exists: true, chatId: chat ?? text(found.wid), ...ids, business: Boolean(found.biz) };
        }),
      );
    },
  });
})();

/**
 * Groups: create, change participants, query, notices of changes.
 *
 * Certainty: function names and result shapes (status 207, a code per participant, 404 for a number that is
 * not on WhatsApp, 409 for one that is in already) are what wa-js reads [S]; members are listed by phone
 * number: whether real groups of LID accounts are is unsure.
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  const createWid = (text) => need('WAWebWidFactory').createWid(text);
  const request = (op, args) => need('SimWire').request(op, args);
  const phoneText = (participant) =>
    (participant.phoneNumber || participant.id || participant).toString();

  define('WAWebGroupCreateJob', (exports) => {
    exports.GroupAlreadyExistsError = class GroupAlreadyExistsError extends Error {};

    exports.createGroup = async (options, participants) => {
      const group = await request('group_create', {
        subject: typeof options === 'string' ? options : options.title,
        participants: participants.map(phoneText),
      });
      return {
        wid: createWid(group.gid),
        server: 'g.us',
        subject: group.subject,
        participants: group.participants.map(({ id, error }) => ({
          wid: createWid(id),
          error,
          invite_code: null,
          invite_code_exp: null,
        })),
      };
    };
  });

  define('WAWebGroupModifyParticipantsJob', (exports) => {
    const change = (op) => async (groupId, participants) => {
      const answer = await request('group_participants', {
        gid: groupId.toString(),
        op,
        participants: participants.map(phoneText),
      });
      return {
        status: 207,
        participants: answer.participants.map(({ id, code }) => ({
          userWid: createWid(id),
          code: String(code),
          invite_code: null,
          invite_code_exp: null,
        })),
      };
    };
    Object.assign(exports, {
      addGroupParticipants: change('add'),
      removeGroupParticipants: change('remove'),
      promoteGroupParticipants: change('promote'),
      demoteGroupParticipants: change('demote'),
    });
  });

  define('WAWebModifyParticipantsGroupAction', (exports) => {
    const change = (job) => async (chat, participants) => {
      const ids = participants.map((participant) => participant.id);
      await need('WAWebGroupModifyParticipantsJob')[job](chat.id, ids);
    };
    const promote = change('promoteGroupParticipants');
    const demote = change('demoteGroupParticipants');
    Object.assign(exports, {
      addParticipants: change('addGroupParticipants'),
      removeParticipants: change('removeGroupParticipants'),
      promoteParticipants: promote,
      demoteParticipants: demote,
      promoteCommunityParticipants: promote,
      demoteCommunityParticipants: demote,
    });
  });

  define('WAWebDBUpdateGroupAction', (exports) => {
    /** wa-js wraps this one to fire `group.participant_changed`. */
    exports.updateDBForGroupAction = async (meta) => {
      await need('WAWebGroupMetadataCollection').default.update(meta.chatId);
    };
  });

  define('SimGroups', (exports) => {
    /** The groups of the login's answer. */
    exports.restore = async (groups) => {
      const { ChatCollection } = need('WAWebChatCollection');
      for (const { gid, subject } of groups) {
        const id = createWid(gid);
        if (!ChatCollection.get(id)) {
          ChatCollection.add({ id, name: subject }, { silent: true });
        }
        await need('WAWebGroupMetadataCollection').default.update(id);
      }
    };

    /** A notice that a group changed. */
    exports.changed = async ({ gid, subject, op, author, pushname, ts, participants }) => {
      const chatId = createWid(gid);
      await need('SimChats').ensure(chatId, { name: subject });
      await need('WAWebDBUpdateGroupAction').updateDBForGroupAction(
        { chatId, author: createWid(author), pushname, ts },
        {
          actionType: op,
          action: op,
          participants: participants.map((id) => ({ id: createWid(id) })),
        },
      );
    };
  });

  define('WAWebExitGroupAction', (exports) => {
    exports.sendExitGroup = (chat) =>
      request('group_participants', {
        gid: chat.id.toString(),
        op: 'leave',
        participants: [need('SimIdentity').login().wid],
      });
  });

  define('WAWebGroupQueryJob', (exports) => {
    exports.queryAllGroups = async () => {
      const { groups } = await request('groups', {});
      return groups.map((gid) => ({ id: createWid(gid) }));
    };
  });
})();

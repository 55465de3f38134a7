/* Hands every event of the wa-js bundle that the tests wait for to the test (`tellTest` is its binding). */
(() => {
  const NAMES = [
    'chat.msg_ack_change',
    'chat.new_message',
    'chat.presence_change',
    'conn.auth_code_change',
    'conn.authenticated',
    'conn.backend_event',
    'conn.logout',
    'conn.logout_reason',
    'conn.main_ready',
    'conn.online',
    'conn.qrcode_idle',
    'conn.stream_info_changed',
    'conn.stream_mode_changed',
    'group.participant_changed',
    'loader.full_ready',
  ];
  const isMessage = (value) => value && value.id && value.id._serialized && value.type;
  const plain = (value) => {
    if (isMessage(value)) {
      return { msg: value.id._serialized, type: value.type, body: value.body, from: String(value.from) };
    }
    const text = JSON.stringify(value, (_key, inner) => (inner && inner._serialized ? inner._serialized : inner));
    return text === undefined ? null : JSON.parse(text);
  };
  for (const name of NAMES) {
    WPP.on(name, (...args) => window.tellTest(name, args.map(plain)));
  }
})();

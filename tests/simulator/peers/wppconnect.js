/**
 * Runs the npm package @wppconnect-team/wppconnect, unmodified, against the simulator.
 *
 * It prints what happens as one JSON object a line (`event` says what) and takes orders as one JSON object a line on
 * its standard input: {"do": "text" | "media", …} and {"do": "close"}. Environment: BROWSER (executable), TLS_PORT
 * (of the simulator on 127.0.0.1), PROFILE (a folder).
 */
'use strict';

const readline = require('node:readline');
const wppconnect = require('@wppconnect-team/wppconnect');

const { BROWSER, TLS_PORT, PROFILE } = process.env;

function tell(event, facts = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`);
}

function options() {
  return {
    session: 'peer',
    folderNameToken: PROFILE,
    headless: true,
    autoClose: 60000,
    logQR: false,
    updatesLog: false,
    disableWelcome: true,
    disableGoogleAnalytics: true,
    puppeteerOptions: { executablePath: BROWSER },
    browserArgs: [
      '--no-sandbox',
      '--ignore-certificate-errors',
      `--host-resolver-rules=MAP web.whatsapp.com:443 127.0.0.1:${TLS_PORT}`,
    ],
    catchQR: (_image, _drawing, _attempt, code) => tell('qr', { code }),
    statusFind: (status) => tell('status', { status }),
  };
}

const ORDERS = {
  text: (client, { to, body, options: extra }) => client.sendText(to, body, extra),
  media: (client, { to, data, options: extra }) => client.sendFile(to, data, extra),
};

async function obey(client, order) {
  try {
    const result = await ORDERS[order.do](client, order);
    tell('done', { order: order.do, id: result.id, ack: result.ack });
  } catch (error) {
    tell('failed', { order: order.do, message: String((error && error.message) || JSON.stringify(error)) });
  }
}

async function main() {
  const client = await wppconnect.create(options());
  client.onMessage((message) => tell('message', { id: message.id, body: message.body }));
  client.onAck((ack) => tell('ack', { ack: ack.ack, id: (ack.id && ack.id._serialized) || ack.id }));
  client.onStateChange((state) => tell('state', { state }));
  tell('ready', { main: await client.isMainReady() });

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    if (order.do === 'close') {
      break;
    }
    await obey(client, order);
  }
  await client.close();
}

main().then(
  () => process.exit(0),
  (error) => {
    tell('failed', { order: 'start', message: String((error && error.stack) || error) });
    process.exit(1);
  },
);

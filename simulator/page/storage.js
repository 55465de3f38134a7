/**
 * Storage of the client: IndexedDB.
 *
 * Stands for WhatsApp's `model-storage` database (its name and its `message` store are what wa-js's
 * `listMessages` opens [S]); the other stores are ours. Commits are durable (`durability: 'strict'`), so that
 * a killed browser shows what a real one would: a message is stored before it is sent [R].
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  const DATABASE = 'model-storage';
  const STORES = ['kv', 'message', 'chat'];

  define('SimStorage', (exports) => {
    let opening = null;

    function createStores(database) {
      database.createObjectStore('kv');
      const messages = database.createObjectStore('message', { keyPath: 'id' });
      messages.createIndex('remote', 'remote');
      database.createObjectStore('chat', { keyPath: 'id' });
    }

    function openDatabase() {
      return new Promise((resolve, reject) => {
        const request = indexedDB.open(DATABASE, 1);
        request.onupgradeneeded = () => createStores(request.result);
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => {
          need('SimLogout').storageFailed(`indexeddb: ${request.error}`);
          reject(request.error);
        };
      });
    }

    async function transact(store, mode, operation) {
      opening ||= openDatabase();
      const database = await opening;
      return new Promise((resolve, reject) => {
        const transaction = database.transaction(store, mode, { durability: 'strict' });
        const request = operation(transaction.objectStore(store));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onerror = () => reject(transaction.error);
        transaction.onabort = () => reject(transaction.error);
      });
    }

    Object.assign(exports, {
      get: (store, key) => transact(store, 'readonly', (objects) => objects.get(key)),
      all: (store) => transact(store, 'readonly', (objects) => objects.getAll()),
      messagesOf: (chatId) =>
        transact('message', 'readonly', (objects) => objects.index('remote').getAll(chatId)),
      put: (store, value, key) =>
        transact(store, 'readwrite', (objects) => objects.put(value, key)),

      /** Empty every store: what a logout does. */
      async clear() {
        for (const store of STORES) {
          await transact(store, 'readwrite', (objects) => objects.clear());
        }
      },

      /** Delete the whole database: what the browser's eviction does. A later write makes a new one. */
      async destroy() {
        if (opening) {
          (await opening).close();
          opening = null;
        }
        await new Promise((resolve) => {
          const request = indexedDB.deleteDatabase(DATABASE);
          request.onsuccess = resolve;
          request.onerror = resolve;
          request.onblocked = resolve;
        });
      },
    });
  });
})();

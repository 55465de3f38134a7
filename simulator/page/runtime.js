/**
 * Module runtime of the page.
 *
 * Stands for Meta's module system (`__d`, `require`, `importDefault`, `importNamespace`, `requireLazy`,
 * `require('__debug').modulesMap`, `ErrorGuard`): wa-js finds WhatsApp's modules through it and
 * whatsapp-web.js calls `window.require` by id. Certainty: shape read in wa-js's loader [S] and in copies of
 * real modules [R]; it loads the unmodified bundle [M].
 *
 * Ids that begin with `WA` are answers to those libraries, by their real names where known. Ids that begin
 * with `Sim` are our own parts; wa-js looks only at ids matching /^(use)?WA/, so it never sees them.
 */
((global) => {
  'use strict';

  /** Defaults of `window.__SIM`, which the server prints into the page. */
  const CONFIG_DEFAULTS = {
    bootMs: 50,
    logoutReloadMs: 500,
    resendPending: false,
    lidChats: false,
    uploadLimit: 64 * 1024 * 1024,
    filler: 0,
    requirePersist: false,
    persistDenied: false,
    storageErrorLogout: true,
    deaf: false,
    reconnectMs: [250, 4000],
  };

  /** The value real modules carry in their last `__d` argument [R]. */
  const MODULE_FLAGS = 98;

  const modules = Object.create(null);
  const debug = { modulesMap: modules };

  function defineModule(id, dependencies, factory, special) {
    if (modules[id]) {
      return;
    }
    modules[id] = {
      id,
      dependencies: dependencies || [],
      factory,
      special: special || 0,
      loaded: false,
      module: null,
      error: null,
    };
  }

  function load(id) {
    const entry = modules[id];
    if (!entry) {
      throw new Error(`Requiring unknown module "${id}".`);
    }
    if (entry.error) {
      throw entry.error;
    }
    if (!entry.loaded) {
      entry.loaded = true;
      entry.module = { exports: {} };
      run(entry);
    }
    return entry.module.exports;
  }

  function run(entry) {
    const { module } = entry;
    try {
      entry.factory.call(
        null,
        global,
        requireModule,
        importDefault,
        importNamespace,
        requireLazy,
        module,
        module.exports,
      );
    } catch (error) {
      entry.error = error;
      throw error;
    }
  }

  function hasOnlyDefault(exports) {
    if (!exports || typeof exports !== 'object') {
      return false;
    }
    const names = Object.keys(exports);
    return names.length === 1 && names[0] === 'default';
  }

  function requireModule(id) {
    if (id === '__debug') {
      return debug;
    }
    const exports = load(id);
    return hasOnlyDefault(exports) ? exports.default : exports;
  }

  function importDefault(id) {
    const exports = load(id);
    return exports && exports.default !== undefined ? exports.default : exports;
  }

  function importNamespace(id) {
    const exports = load(id);
    return exports && typeof exports === 'object'
      ? exports
      : Object.assign({ default: exports }, exports);
  }

  function requireLazy(ids, callback) {
    Promise.resolve().then(() => callback.apply(null, ids.map(requireModule)));
  }

  global.ErrorGuard = {
    skipGuardGlobal() {},
    applyWithGuard(callback, context, args) {
      return callback.apply(context, args || []);
    },
  };
  global.babelHelpers = global.babelHelpers || { extends: Object.assign };
  global.importNamespace = importNamespace;
  global.importDefault = importDefault;
  global.requireLazy = requireLazy;
  global.require = requireModule;
  global.__d = defineModule;

  /** What the other files of this page are written with. */
  global.__sim = Object.freeze({
    config: Object.freeze(Object.assign({}, CONFIG_DEFAULTS, global.__SIM)),
    /** Define a module whose body fills its `exports`. */
    define(id, body) {
      defineModule(id, [], (...args) => body(args[6]), MODULE_FLAGS);
    },
    /**
     * Exports of a module. Always call functions through them (`need('WAWebX').f()`), never through a kept
     * reference: wa-js replaces functions on the exports object to listen in.
     */
    need: importNamespace,
  });
})(window);

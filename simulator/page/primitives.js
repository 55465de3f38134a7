/**
 * Event emitter, base model and base collection.
 *
 * Stand for WhatsApp's Backbone-like primitives. Certainty: model attributes are accessors (`model.x = v`
 * fires `change:x`) and nested changes are forwarded as `change:outer.inner` [R]; the error texts are what
 * wa-js recognises the classes by [S]; the rest is what wa-js and the Node libraries call [S].
 */
(() => {
  'use strict';
  const { define, need } = window.__sim;

  const names = (list) => String(list).split(/\s+/);

  define('WAWebEventEmitter', (exports) => {
    class EventEmitter {
      constructor() {
        Object.defineProperty(this, '_listeners', { value: new Map(), enumerable: false });
      }

      _listen(list, listener) {
        if (typeof listener.callback !== 'function') {
          throw new Error('Callback parameter passed is not a function');
        }
        for (const name of names(list)) {
          if (!this._listeners.has(name)) {
            this._listeners.set(name, []);
          }
          this._listeners.get(name).push(listener);
        }
        return this;
      }

      on(list, callback, context) {
        return this._listen(list, { callback, context, original: callback });
      }

      once(list, callback, context) {
        const emitter = this;
        function runOnce(...args) {
          emitter.off(list, callback);
          return callback.apply(context || emitter, args);
        }
        return this._listen(list, { callback: runOnce, context, original: callback });
      }

      off(list, callback) {
        if (!list) {
          this._listeners.clear();
          return this;
        }
        for (const name of names(list)) {
          const kept = (this._listeners.get(name) || []).filter((one) => one.original !== callback);
          this._listeners.set(name, callback ? kept : []);
        }
        return this;
      }

      trigger(name, ...args) {
        this._notify(name, args);
        if (name !== 'all') {
          this._notify('all', [name, ...args]);
        }
        return this;
      }

      _notify(name, args) {
        for (const listener of (this._listeners.get(name) || []).slice()) {
          try {
            listener.callback.apply(listener.context || this, args);
          } catch (error) {
            console.error(`a listener of "${name}" threw`, error);
          }
        }
      }

      listenTo(other, list, callback) {
        other.on(list, callback, this);
        return this;
      }

      stopListening() {
        return this;
      }
    }
    EventEmitter.prototype.emit = EventEmitter.prototype.trigger;
    EventEmitter.prototype.addListener = EventEmitter.prototype.on;
    EventEmitter.prototype.removeListener = EventEmitter.prototype.off;
    exports.default = EventEmitter;
  });

  define('WAWebBaseModel', (exports) => {
    const EventEmitter = need('WAWebEventEmitter').default;
    /** Links upwards: their changes are not changes of the model that holds them. */
    const BACK_REFERENCES = new Set(['collection', 'chat', 'msgs']);
    /** Nested emitter → the models that already forward its changes. */
    const forwarders = new WeakMap();

    class BaseModel extends EventEmitter {
      constructor(attributes) {
        super();
        Object.defineProperty(this, '_attributes', { value: new Map(), enumerable: false });
        const defaults = this.constructor.defaults || {};
        for (const [name, value] of Object.entries(defaults)) {
          this._put(name, typeof value === 'function' ? value(this) : value);
        }
        for (const [name, value] of Object.entries(attributes || {})) {
          this._put(name, value);
        }
        if (this.initialize) {
          this.initialize();
        }
      }

      /** Store an attribute without an event, as an accessor on the model. */
      _put(name, value) {
        this._attributes.set(name, value);
        if (!Object.prototype.hasOwnProperty.call(this, name)) {
          Object.defineProperty(this, name, {
            enumerable: true,
            configurable: true,
            get: () => this._attributes.get(name),
            set: (next) => this.set(name, next),
          });
        }
        if (value instanceof EventEmitter && value !== this && !BACK_REFERENCES.has(name)) {
          this._forwardChanges(name, value);
        }
      }

      _forwardChanges(name, nested) {
        if (!forwarders.has(nested)) {
          forwarders.set(nested, new WeakSet());
        }
        if (forwarders.get(nested).has(this)) {
          return;
        }
        forwarders.get(nested).add(this);
        nested.on('all', (event, ...args) => {
          if (event.startsWith('change:') && this._attributes.get(name) === nested) {
            this.trigger(`change:${name}.${event.slice('change:'.length)}`, ...args);
          }
        });
      }

      /** `set(name, value, options)` or `set({name: value}, options)`; `{silent: true}` fires nothing. */
      set(name, value, options) {
        const many = typeof name === 'object';
        const attributes = many ? name : { [name]: value };
        const { silent } = (many ? value : options) || {};
        const changed = [];
        for (const [key, next] of Object.entries(attributes)) {
          const previous = this[key];
          if (previous !== next) {
            this._put(key, next);
            changed.push([key, previous]);
          }
        }
        if (!silent && changed.length) {
          for (const [key, previous] of changed) {
            this.trigger(`change:${key}`, this, this[key], previous);
          }
          this.trigger('change', this);
        }
        return this;
      }

      unset(name) {
        return this.set(name, undefined);
      }

      get attributes() {
        return Object.fromEntries(this._attributes);
      }

      toJSON() {
        return this.attributes;
      }

      serialize() {
        const plain = {};
        for (const [name, value] of this._attributes) {
          const serialized = serializeValue(value);
          if (serialized !== undefined && typeof serialized !== 'function') {
            plain[name] = serialized;
          }
        }
        return plain;
      }

      unsafe() {
        return this;
      }

      safe() {
        return this;
      }

      isDestroyed() {
        return false;
      }
    }

    function serializeValue(value) {
      if (value instanceof BaseModel) {
        return value.serialize();
      }
      if (value && value.getModelsArray) {
        return value.getModelsArray().map(serializeValue);
      }
      return value instanceof EventEmitter ? undefined : value;
    }

    exports.BaseModel = BaseModel;
    exports.defineModel = (modelClass) => modelClass;
  });

  define('WAWebBaseCollection', (exports) => {
    const EventEmitter = need('WAWebEventEmitter').default;

    function keyOf(id) {
      if (id === null || id === undefined) {
        return undefined;
      }
      return typeof id === 'string' ? id : id._serialized || id.toString();
    }

    class Collection extends EventEmitter {
      constructor() {
        super();
        if (!this.constructor.model) {
          throw new Error('Collection initialized without model');
        }
        Object.defineProperty(this, '_models', { value: [], enumerable: false, writable: true });
        Object.defineProperty(this, '_index', { value: new Map(), enumerable: false });
      }

      get modelClass() {
        return this.constructor.model;
      }

      get models() {
        return this._models;
      }

      get length() {
        return this._models.length;
      }

      get(id) {
        const key = id && id.id && id instanceof this.modelClass ? id.id : id;
        return this._index.get(keyOf(key));
      }

      /** `merge` updates a known one, `silent` fires no `add`, `noForward` keeps its events to itself. */
      add(items, options) {
        const added = (Array.isArray(items) ? items : [items]).map((item) =>
          this._addOne(item, options || {}),
        );
        return Array.isArray(items) ? added : added[0];
      }

      _addOne(item, { merge, silent, noForward }) {
        const known = this._index.get(keyOf(item.id));
        if (known) {
          if (merge) {
            known.set(item instanceof this.modelClass ? item.attributes : item);
          }
          return known;
        }
        const model = item instanceof this.modelClass ? item : new this.modelClass(item);
        this._models.push(model);
        this._index.set(keyOf(model.id), model);
        if (!noForward) {
          model.on('all', (event, ...args) => this.trigger(event, ...args));
        }
        if (!silent) {
          this.trigger('add', model);
        }
        return model;
      }

      /** The model of this id, made when it is not there. */
      gadd(id, options) {
        return this.get(id) || this.add({ id }, options);
      }

      remove(items) {
        for (const item of Array.isArray(items) ? items : [items]) {
          const model = this.get(item && item.id ? item.id : item);
          if (model) {
            this._models = this._models.filter((other) => other !== model);
            this._index.delete(keyOf(model.id));
            this.trigger('remove', model);
          }
        }
      }

      reset() {
        this._models = [];
        this._index.clear();
        this.trigger('reset');
      }

      getModelsArray() {
        return this._models.slice();
      }

      toArray() {
        return this._models.slice();
      }

      map(callback) {
        return this._models.map(callback);
      }

      filter(callback) {
        return this._models.filter(callback);
      }

      forEach(callback) {
        return this._models.forEach(callback);
      }

      some(callback) {
        return this._models.some(callback);
      }

      every(callback) {
        return this._models.every(callback);
      }

      findFirst(callback) {
        return this._models.find(callback);
      }

      at(index) {
        return this._models.at(index);
      }

      last() {
        return this._models.at(-1);
      }

      head() {
        return this._models[0];
      }

      includes(model) {
        return this._models.includes(model);
      }

      async find(id) {
        return this.gadd(id);
      }

      async update(id) {
        return this.find(id);
      }

      serialize() {
        return this._models.map((model) => model.serialize());
      }
    }

    exports.default = Collection;
    exports.BaseCollection = Collection;
  });

  define('WAWebCollection', (exports) => {
    exports.default = need('WAWebBaseCollection').default;
  });
})();

/**
 * Media: opaque data, preparation, upload, download, caches.
 *
 * Certainty: wa-js makes OpaqueData, calls `prepRawMedia`, waits for `waitForPrep` and calls
 * `sendToChat({chat, options})`, then waits for the message's `add` in `chat.msgs`, **by identity of its id
 * object** [S]; a refused upload sets ack -1 and resolves with ERROR_UPLOAD [S][M on this page]. Encryption
 * is not modelled: the bytes lie under `/mms/<id>` as they are.
 */
(() => {
  'use strict';
  const { config, define, need } = window.__sim;

  /** How many files the caches keep; the oldest goes first. */
  const CACHED_FILES = 32;

  function putBounded(map, key, value) {
    map.delete(key);
    map.set(key, value);
    if (map.size > CACHED_FILES) {
      map.delete(map.keys().next().value);
    }
  }

  define('WAWebMediaOpaqueDataBase', (exports) => {
    exports.default = class OpaqueDataBase {
      throwIfReleased() {}
    };
  });

  define('WAWebMediaOpaqueData', (exports) => {
    const OpaqueDataBase = need('WAWebMediaOpaqueDataBase').default;

    class OpaqueData extends OpaqueDataBase {
      constructor(blob, type) {
        super();
        Object.defineProperty(this, '_blob', { value: blob });
        this._type = type;
      }

      static async createFromData(data, type) {
        const blob = data instanceof Blob ? data : new Blob([data], { type });
        return new OpaqueData(blob, type || data.type);
      }

      type() {
        return this._type;
      }

      size() {
        return this._blob.size;
      }

      forceToBlob() {
        return this._blob;
      }

      formData() {
        return this._blob;
      }

      url() {
        this._url ||= URL.createObjectURL(this._blob);
        return this._url;
      }

      getBuffer() {
        return this._blob.arrayBuffer();
      }

      retain() {}

      release() {}

      autorelease() {}
    }
    exports.default = OpaqueData;
  });

  define('WAWebPrepRawMedia', (exports) => {
    const MediaData = need('WAWebMediaDataModel').default;

    function kindOf(mimetype, { asDocument, asSticker, isPtt }) {
      if (asDocument) {
        return 'document';
      }
      if (asSticker) {
        return 'sticker';
      }
      if (isPtt) {
        return 'ptt';
      }
      const [kind] = String(mimetype).split('/');
      return ['image', 'video', 'audio'].includes(kind) ? kind : 'document';
    }

    async function hashOf(blob) {
      const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer());
      return need('WABase64').encodeB64(digest);
    }

    /** Width and height of a picture; nothing where the browser cannot decode it. */
    async function dimensionsOf(blob) {
      if (!blob.type.startsWith('image/')) {
        return {};
      }
      try {
        const bitmap = await createImageBitmap(blob);
        const { width, height } = bitmap;
        bitmap.close();
        return { fullWidth: width, fullHeight: height };
      } catch (error) {
        console.warn('picture of unknown size', error);
        return {};
      }
    }

    class MediaPrep {
      constructor(opaqueData, options) {
        this._mediaData = new MediaData({
          type: kindOf(opaqueData.type(), options),
          mimetype: opaqueData.type(),
          size: opaqueData.size(),
          mediaBlob: opaqueData,
          mediaStage: 'PREPARING',
        });
        this._prepared = this._prepare(opaqueData.forceToBlob());
      }

      async _prepare(blob) {
        const [filehash, dimensions] = await Promise.all([hashOf(blob), dimensionsOf(blob)]);
        this._mediaData.set({ filehash, ...dimensions, mediaStage: 'PREPROCESSED' });
        return this._mediaData;
      }

      waitForPrep() {
        return this._prepared;
      }

      async sendToChat({ chat, options }) {
        const media = await this._prepared;
        const message = await this._store(chat, options);
        try {
          await this._upload(message);
        } catch (error) {
          console.error('upload refused', error);
          message.set('ack', need('WAWebAck').ACK.FAILED);
          media.set('mediaStage', 'ERROR_UNKNOWN');
          return { messageSendResult: 'ERROR_UPLOAD' };
        }
        await need('SimMessages').persist(message);
        return need('SimSending').transmit(message);
      }

      async _store(chat, options) {
        const Msg = need('WAWebMsgModel').default;
        const { add, persist } = need('SimMessages');
        const media = this._mediaData;
        const attributes = {
          ...(await need('SimSending').outgoing(chat, {})),
          ...options.productMsgOptions,
          type: media.type,
          caption: options.caption,
          isViewOnce: options.isViewOnce,
          mimetype: media.mimetype,
          size: media.size,
          filehash: media.filehash,
          mediaData: media,
          width: media.fullWidth,
          height: media.fullHeight,
        };
        const message = add(new Msg(attributes));
        await persist(message);
        return message;
      }

      async _upload(message) {
        const media = this._mediaData;
        const blob = media.mediaBlob.forceToBlob();
        need('WAWebMediaInMemoryBlobCache').InMemoryMediaBlobCache.put(media.filehash, blob);
        media.set('mediaStage', 'UPLOADING');
        const { mediaEntry } = await need('WAWebMediaMmsV4Upload').uploadMedia({
          mediaType: media.type,
          mediaObject: { filehash: media.filehash },
          blob,
        });
        message.set({ directPath: mediaEntry.directPath, mediaKey: mediaEntry.mediaKey });
        media.set({ directPath: mediaEntry.directPath, mediaStage: 'RESOLVED' });
      }
    }

    exports.MediaPrep = MediaPrep;
    exports.prepRawMedia = (opaqueData, options) => new MediaPrep(opaqueData, options || {});
    exports.uploadProductImage = async () => {
      throw new Error('not simulated');
    };
  });

  define('WAWebMediaMmsV4Upload', (exports) => {
    async function upload(blob) {
      const response = await fetch('/mms/upload', {
        method: 'POST',
        body: blob,
        headers: {
          'content-type': blob.type || 'application/octet-stream',
          'x-token': need('SimIdentity').login().token,
        },
      });
      if (!response.ok) {
        throw new Error(`upload ${response.status}`);
      }
      return response.json();
    }

    exports.uploadMedia = async ({ blob, mediaObject }) => {
      const cache = need('WAWebMediaInMemoryBlobCache').InMemoryMediaBlobCache;
      const { id, directPath } = await upload(blob || cache.get(mediaObject.filehash));
      return {
        kind: 'success',
        mediaEntry: {
          mmsUrl: location.origin + directPath,
          directPath,
          mediaKey: `k${id}`,
          mediaKeyTimestamp: need('WATimeUtils').unixTime(),
          encFilehash: id,
          uploadHash: id,
          handle: id,
        },
      };
    };
    exports.uploadUnencryptedMedia = (options) => exports.uploadMedia(options);
  });

  define('WAWebMediaInMemoryBlobCache', (exports) => {
    class InMemoryMediaBlobCacheImpl {
      constructor() {
        this._blobs = new Map();
      }

      has(key) {
        return this._blobs.has(key);
      }

      get(key) {
        return this._blobs.get(key);
      }

      put(key, blob) {
        putBounded(this._blobs, key, blob);
      }

      del(key) {
        this._blobs.delete(key);
      }
    }
    exports.InMemoryMediaBlobCacheImpl = InMemoryMediaBlobCacheImpl;
    exports.InMemoryMediaBlobCache = new InMemoryMediaBlobCacheImpl();
  });

  define('WAWebLruMediaStore', (exports) => {
    const stored = new Map();
    exports.LruMediaStore = {
      get: async (key) => stored.get(key),
      put: async (key, value) => {
        putBounded(stored, key, value);
      },
      del: async (key) => stored.delete(key),
      clear: async () => stored.clear(),
      count: async () => stored.size,
      has: async (key) => stored.has(key),
    };
  });

  define('WAWebMediaStorage', (exports) => {
    const objects = new Map();

    function newMediaObject(filehash) {
      return {
        filehash,
        contentInfo: {},
        consolidate({ type, size }) {
          Object.assign(this, { type: (type || '').toUpperCase(), size });
        },
      };
    }

    exports.getOrCreateMediaObject = (filehash) => {
      if (!objects.has(filehash)) {
        putBounded(objects, filehash, newMediaObject(filehash));
      }
      return objects.get(filehash);
    };
  });

  define('WAWebDownloadManager', (exports) => {
    exports.downloadManager = {
      downloadAndMaybeDecrypt: async ({ directPath }) => (await fetch(directPath)).arrayBuffer(),
    };
  });

  define('WAWebMediaGatingUtils', (exports) => {
    exports.getUploadLimit = () => config.uploadLimit;
  });
})();

import { contentSecurityPolicy } from "../../release/store/headers.js";
import { keys } from "../../release/store/keys.js";

export interface CdnSettings {
  /** The port to listen on, on 127.0.0.1. */
  port: number;
  /** The origin: URL of the S3 server and the bucket in it. */
  originUrl: string;
  bucket: string;
  /** How long what changes is cached: the pointer, and the page about it. */
  latestTtlSeconds: number;
  /** The account of nginx's workers. Only root may choose one, and must: the default could not write to the cache. */
  user: string | undefined;
}

/**
 * nginx as a CDN: a caching proxy in front of the bucket, which ignores query strings, cookies and the client's headers.
 *
 * Headers are set on the level of the server only, as `proxy_set_header`, `proxy_hide_header` and `add_header` do not merge into
 * inner levels. Paths are lists of allowed characters, since `$uri` is decoded and is sent on to the origin.
 */
export function nginxConfig({ port, originUrl, bucket, latestTtlSeconds, user }: CdnSettings): string {
  return `# Written by local/services/nginx-config.ts at every start.
daemon off;
worker_processes 1;
${user === undefined ? "" : `user ${user} ${user};\n`}pid run/nginx.pid;
error_log logs/error.log warn;

events {
  worker_connections 1024;
}

http {
  access_log off;
  server_tokens off;
  default_type application/octet-stream;

  client_body_temp_path run/body;
  proxy_temp_path run/proxy;
  fastcgi_temp_path run/fastcgi;
  uwsgi_temp_path run/uwsgi;
  scgi_temp_path run/scgi;
  # An image is a few hundred MB to a few GB; the least recently used ones go first.
  proxy_cache_path cache levels=1:2 keys_zone=images:8m max_size=8g inactive=365d use_temp_path=off;

  map $status $cache_control_of_errors {
    ~^[45] no-store;
    default "";
  }

  server {
    listen 127.0.0.1:${port};

    if ($request_method !~ ^(GET|HEAD)$) {
      return 405;
    }

    # Below a channel's name the images are everybody's: the same object, and the same copy in the cache. Which channels there are is the
    # stack's to say at any time; one that is not there has no pointer that could send anybody here.
    rewrite "^/[a-z][a-z0-9-]{0,30}(/images/.+)$" $1;

    proxy_http_version 1.1;
    proxy_connect_timeout 5s;
    proxy_pass_request_headers off;
    proxy_pass_request_body off;
    proxy_set_header Range $slice_range;
    proxy_hide_header Set-Cookie;
    proxy_hide_header Vary;
    proxy_hide_header x-amz-request-id;
    proxy_hide_header x-amz-id-2;
    proxy_hide_header x-amz-version-id;
    proxy_hide_header x-amz-storage-class;
    proxy_ignore_headers Cache-Control Expires Vary Set-Cookie;
    add_header Cache-Control $cache_control_of_errors always;
    add_header X-Cache $upstream_cache_status always;
    add_header X-Content-Type-Options nosniff always;
    add_header Content-Security-Policy "${contentSecurityPolicy}" always;

    proxy_cache images;
    proxy_cache_key "$uri|$slice_range";
    proxy_cache_lock on;
    # With the origin down, hosts rather go on with the image they know: any error ends a host's process.
    proxy_cache_use_stale error timeout http_500 http_502 http_503 http_504;

    # The origin says 403 for a missing object to those who may not list.
    proxy_intercept_errors on;
    error_page 403 404 =404 @missing;

    # Immutable. Large objects are fetched and cached in slices, so ranges and resumed downloads come from the cache.
    location ~ "^/images/[0-9a-f]{40}/[0-9A-Za-z._-]+$" {
      slice 8m;
      proxy_cache_valid 200 206 365d;
      proxy_cache_valid 403 404 5s;
      proxy_pass ${originUrl}/${bucket}$uri;
    }

    location ~ "^(/[a-z][a-z0-9-]{0,30})?/pointer/[0-9]+\\.json$" {
      proxy_cache_valid 200 365d;
      proxy_cache_valid 403 404 5s;
      proxy_pass ${originUrl}/${bucket}$uri;
    }

    location = / {
      rewrite ^ /${keys.page} last;
    }

    location ~ "^((/[a-z][a-z0-9-]{0,30})?/latest(\\.json)?|/(index\\.html|feed\\.atom|moves/[0-9]+\\.html))$" {
      proxy_cache_valid 200 ${latestTtlSeconds}s;
      proxy_cache_valid 403 404 5s;
      proxy_pass ${originUrl}/${bucket}$uri;
    }

    location / {
      return 404;
    }

    location @missing {
      default_type text/plain;
      return 404 "not found\\n";
    }
  }
}
`;
}

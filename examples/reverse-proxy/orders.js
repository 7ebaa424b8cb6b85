// The orders: a Node.js program that knows nothing of passwords and tokens. It trusts the identity headers, since only Bekci reaches it.
'use strict';

const http = require('node:http');

http
  .createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      response.setHeader('Content-Type', 'application/json');
      response.end(
        JSON.stringify({
          from: 'node',
          asked: `${request.method} ${request.url}`,
          by: request.headers['x-auth-key'] ?? null,
          mail: request.headers['x-auth-attr-mail'] ?? null,
          roles: request.headers['x-auth-roles'] ?? null,
          credential: request.headers.authorization ?? null,
        }) + '\n',
      );
    });
  })
  .listen(Number(process.argv[2]), '127.0.0.1');

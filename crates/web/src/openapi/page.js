'use strict';

// The pages of Bekci itself, which are no calls of an API.
const OWN_PAGES = ['/docs', '/docs/page.js', '/docs/page.css', '/openapi.json'];
const TITLES = { management: 'Management', decisions: 'Decision endpoints', public: 'Public' };

// Text goes in as text alone: nothing that an answer holds can become markup.
function make(name, text, children) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...(children || []));
  return element;
}

// A sentence in which `names` are set as code.
function sentence(name, text) {
  const parts = (text || '').split('`');
  return make(name, '', parts.map((part, at) => (at % 2 ? make('code', part) : part)));
}

const tokens = new Map();

function resolve(schema, root) {
  if (schema && schema.$ref) {
    return schema.$ref.slice(2).split('/').reduce((at, part) => at[part], root);
  }
  return schema || {};
}

// A value that fits a schema. `whole`: optional fields too, as in an answer.
function example(schema, root, whole, depth = 0) {
  const real = resolve(schema, root);
  if (depth > 8) return null;
  const below = (next) => example(next, root, whole, depth + 1);
  if (real.examples) return real.examples[0];
  if ('const' in real) return real.const;
  if (real.enum) return real.enum[0];
  if (real.anyOf) return below(real.anyOf[0]);
  if (real.allOf) return Object.assign({}, ...real.allOf.map(below));
  const type = Array.isArray(real.type) ? real.type[0] : real.type;
  if (type === 'object' || real.properties) {
    const required = (real.required || []).concat(real.oneOf ? real.oneOf[0].required || [] : []);
    const names = whole ? Object.keys(real.properties || {}) : required;
    return Object.fromEntries(names.map((name) => [name, below((real.properties || {})[name])]));
  }
  if (real.oneOf) return below(real.oneOf[0]);
  if (type === 'array') return [below(real.items)];
  if (type === 'boolean') return true;
  if (type === 'integer' || type === 'number') return real.minimum || 0;
  if (type === 'null') return null;
  if (real.format === 'date-time') return '2030-01-01T00:00:00Z';
  return whole ? 'text' : '';
}

function json(value) {
  return JSON.stringify(value, null, 2);
}

function fields(call) {
  return (call.parameters || []).map((parameter) => {
    const input = make('input');
    input.dataset.name = parameter.name;
    input.dataset.place = parameter.in;
    return make('label', '', [make('span', `${parameter.name} (${parameter.in})`), input]);
  });
}

function target(path, inputs) {
  let filled = path;
  const query = new URLSearchParams();
  for (const input of inputs) {
    if (input.dataset.place === 'path') {
      filled = filled.replace(`{${input.dataset.name}}`, encodeURIComponent(input.value));
    } else if (input.value) {
      query.set(input.dataset.name, input.value);
    }
  }
  const text = query.toString();
  return text ? `${filled}?${text}` : filled;
}

// The guard whose token a call takes.
function guardOf(call) {
  for (const wanted of call.security || []) {
    for (const scheme of Object.keys(wanted)) {
      if (scheme.endsWith('Bearer')) return scheme.slice(0, -'Bearer'.length);
    }
  }
  return null;
}

function tokenOf(call) {
  const input = tokens.get(guardOf(call));
  return input && input.value ? input.value : null;
}

function keepToken(guard, told) {
  const data = told && (told.data || told);
  const access = data && (data.accessToken || data.token);
  const input = tokens.get(guard);
  if (access && input) input.value = access;
  return Boolean(access);
}

function quoted(text) {
  return `'${text.replace(/'/g, "'\\''")}'`;
}

// The request as a line for a shell. The token is named, not written: a line that is copied ends in a history.
function curlLine(path, method, call, box, body) {
  const parts = ['curl -i'];
  if (method !== 'get') parts.push(`-X ${method.toUpperCase()}`);
  parts.push(quoted(location.origin + target(path, box.querySelectorAll('input'))));
  if (guardOf(call)) parts.push('-H "authorization: Bearer $TOKEN"');
  if (body && body.value.trim()) {
    let text = body.value;
    try { text = JSON.stringify(JSON.parse(text)); } catch (notJson) { /* as it is */ }
    parts.push(`-H 'content-type: application/json' -d ${quoted(text)}`);
  }
  return parts.join(' ');
}

async function exchange(url, method, token, body) {
  const headers = { accept: 'application/json' };
  if (token) headers.authorization = `Bearer ${token}`;
  const request = { method: method.toUpperCase(), headers, credentials: 'omit' };
  if (body) {
    headers['content-type'] = 'application/json';
    request.body = body;
  }
  const answer = await fetch(url, request);
  const text = await answer.text();
  let told = null;
  try { told = JSON.parse(text); } catch (notJson) { /* shown as it is */ }
  return { answer, told, text };
}

async function send(path, method, call, box, body, out) {
  out.textContent = '…';
  try {
    const url = target(path, box.querySelectorAll('input'));
    const written = body && body.value.trim() ? body.value : null;
    const { answer, told, text } = await exchange(url, method, tokenOf(call), written);
    if (told) keepToken((call.tags || [])[0], told);
    out.textContent = `${answer.status} ${answer.statusText}\n\n${told ? json(told) : text}`;
  } catch (error) {
    out.textContent = String(error);
  }
}

function answerExample(call, root) {
  const status = Object.keys(call.responses).find((name) => name.startsWith('2'));
  const content = status && resolve(call.responses[status], root).content;
  const schema = content && content['application/json'] && content['application/json'].schema;
  if (!schema) return [];
  const shown = make('pre', json(example(schema, root, true)));
  return [make('details', '', [make('summary', `Example of an answer (${status})`), shown])];
}

function operation(root, path, method, call) {
  const box = make('div');
  box.className = 'call';
  const out = make('pre');
  const guard = guardOf(call);
  if (guard) box.append(make('p', `Needs a token of guard ${guard}.`));
  if (call.description) box.append(sentence('p', call.description));
  box.append(...fields(call));
  let body = null;
  if (call.requestBody) {
    body = make('textarea');
    body.value = json(example(call.requestBody.content['application/json'].schema, root, false));
    body.setAttribute('aria-label', 'Body');
    box.append(body);
  }
  const button = make('button', 'Send');
  button.type = 'button';
  button.addEventListener('click', () => send(path, method, call, box, body, out));
  const copy = make('button', 'Copy as curl');
  copy.type = 'button';
  const line = make('pre');
  copy.addEventListener('click', async () => {
    line.textContent = curlLine(path, method, call, box, body);
    try { await navigator.clipboard.writeText(line.textContent); } catch (refused) { /* the line is shown */ }
  });
  const row = make('div', '', [button, copy]);
  row.className = 'row';
  const answers = Object.entries(call.responses).map(([status, response]) =>
    make('tr', '', [make('td', status), sentence('td', resolve(response, root).description)]));
  box.append(row, line, out, ...answerExample(call, root), make('table', '', answers));
  const about = sentence('span', call.summary);
  about.className = 'about';
  const verb = make('span', method.toUpperCase());
  verb.className = 'method';
  const shown = make('details', '', [make('summary', '', [verb, make('code', path), about]), box]);
  shown.dataset.words = `${method} ${path} ${call.summary || ''}`.toLowerCase();
  return shown;
}

// Sign-in by identifier and password, and the token that came of it.
function guardForm(guard, loginPath) {
  const form = make('form', '', [make('h3', `Guard ${guard}`)]);
  const field = (label, type, name) => {
    const input = make('input');
    input.type = type;
    input.autocomplete = name;
    form.append(make('label', '', [make('span', label), input]));
    return input;
  };
  const told = make('p');
  if (loginPath) {
    const identifier = field('E-mail or identifier', 'text', 'username');
    const password = field('Password', 'password', 'current-password');
    const button = make('button', 'Sign in');
    form.append(button);
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      told.className = '';
      told.textContent = '…';
      try {
        const body = JSON.stringify({ identifier: identifier.value, password: password.value });
        const answered = await exchange(loginPath, 'post', null, body);
        const done = keepToken(guard, answered.told);
        const failure = answered.told && (answered.told.error || answered.told);
        told.className = done ? '' : 'failed';
        told.textContent = done ? 'Signed in.' : `${answered.answer.status} ${(failure && failure.message) || ''}`;
        if (done) password.value = '';
      } catch (error) {
        told.className = 'failed';
        told.textContent = String(error);
      }
    });
  }
  const token = field('Access token', 'text', 'off');
  token.spellcheck = false;
  tokens.set(guard, token);
  form.append(told);
  return form;
}

function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll('#calls section')) {
    let any = false;
    for (const call of section.querySelectorAll('details[data-words]')) {
      call.hidden = !words.every((word) => call.dataset.words.includes(word));
      any = any || !call.hidden;
    }
    section.hidden = !any;
  }
}

async function start() {
  const root = await (await fetch('/openapi.json')).json();
  const bearers = Object.keys(root.components.securitySchemes || {}).filter((name) => name.endsWith('Bearer'));
  const guards = bearers.map((name) => name.slice(0, -'Bearer'.length));
  const families = new Map(guards.map((guard) => [guard, []]));
  const logins = new Map();
  for (const [path, item] of Object.entries(root.paths)) {
    if (OWN_PAGES.includes(path)) continue;
    for (const [method, call] of Object.entries(item)) {
      const family = (call.tags || ['other'])[0];
      if (path.endsWith('/login') && method === 'post') logins.set(family, path);
      if (!families.has(family)) families.set(family, []);
      families.get(family).push(operation(root, path, method, call));
    }
  }
  document.getElementById('guards').append(...guards.map((guard) => guardForm(guard, logins.get(guard))));
  const title = (family) => TITLES[family] || `Guard ${family}`;
  const sections = [...families].filter(([, calls]) => calls.length).map(([family, calls]) =>
    make('section', '', [make('h2', title(family)), ...calls]));
  document.getElementById('calls').replaceChildren(...sections);
  const input = document.getElementById('search');
  input.addEventListener('input', () => search(input.value));
}

start().catch((error) => {
  document.getElementById('calls').textContent = String(error);
});

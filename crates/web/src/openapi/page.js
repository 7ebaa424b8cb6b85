'use strict';

// Text goes in as text alone: nothing that an answer holds can become markup.
function make(name, text, children) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...(children || []));
  return element;
}

const tokens = new Map();

function tokenField(scheme) {
  const input = make('input');
  input.autocomplete = 'off';
  input.spellcheck = false;
  input.name = scheme;
  tokens.set(scheme, input);
  return make('label', '', [make('span', scheme), input]);
}

function resolve(schema, root) {
  if (schema && schema.$ref) {
    return schema.$ref.slice(2).split('/').reduce((at, part) => at[part], root);
  }
  return schema || {};
}

// Something to begin with, by the schema of a body.
function example(schema, root) {
  const real = resolve(schema, root);
  if (real.examples) return real.examples[0];
  if ('const' in real) return real.const;
  if (real.enum) return real.enum[0];
  if (real.anyOf) return example(real.anyOf[0], root);
  if (real.type === 'object') {
    const wanted = (real.required || []).concat(real.oneOf ? real.oneOf[0].required : []);
    return Object.fromEntries(wanted.map((name) => [name, example((real.properties || {})[name], root)]));
  }
  if (real.type === 'array') return [example(real.items, root)];
  if (real.type === 'boolean') return true;
  if (real.type === 'integer') return real.minimum || 0;
  return '';
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

function credential(call) {
  for (const wanted of call.security || []) {
    for (const scheme of Object.keys(wanted)) {
      const input = tokens.get(scheme);
      if (input && input.value) return input.value;
    }
  }
  return null;
}

function keepToken(call, told) {
  const data = told && (told.data || told);
  const access = data && (data.accessToken || data.token);
  const input = tokens.get(`${(call.tags || [])[0]}Bearer`);
  if (access && input) input.value = access;
}

async function send(path, method, call, box, body, out) {
  const headers = { accept: 'application/json' };
  const token = credential(call);
  if (token) headers.authorization = `Bearer ${token}`;
  const request = { method: method.toUpperCase(), headers, credentials: 'omit' };
  if (body && body.value.trim()) {
    headers['content-type'] = 'application/json';
    request.body = body.value;
  }
  out.textContent = '…';
  try {
    const answer = await fetch(target(path, box.querySelectorAll('input')), request);
    const text = await answer.text();
    let shown = text;
    try {
      const told = JSON.parse(text);
      keepToken(call, told);
      shown = JSON.stringify(told, null, 2);
    } catch (notJson) { /* shown as it is */ }
    out.textContent = `${answer.status} ${answer.statusText}\n\n${shown}`;
  } catch (error) {
    out.textContent = String(error);
  }
}

function operation(root, path, method, call) {
  const box = make('div');
  const out = make('pre');
  if (call.description) box.append(make('p', call.description));
  box.append(...fields(call));
  let body = null;
  if (call.requestBody) {
    body = make('textarea');
    const schema = call.requestBody.content['application/json'].schema;
    body.value = JSON.stringify(example(schema, root), null, 2);
    body.setAttribute('aria-label', 'Body');
    box.append(body);
  }
  const button = make('button', 'Send');
  button.type = 'button';
  button.addEventListener('click', () => send(path, method, call, box, body, out));
  const answers = Object.entries(call.responses).map(([status, response]) =>
    make('tr', '', [make('td', status), make('td', resolve(response, root).description)]));
  box.append(button, out, make('table', '', answers));
  const about = make('span', call.summary);
  about.className = 'about';
  const verb = make('span', method.toUpperCase());
  verb.className = 'method';
  return make('details', '', [make('summary', '', [verb, make('code', path), about]), box]);
}

async function start() {
  const root = await (await fetch('/openapi.json')).json();
  const schemes = Object.entries(root.components.securitySchemes);
  const bearers = schemes.filter(([, scheme]) => scheme.type === 'http').map(([name]) => name);
  document.getElementById('tokens').append(...bearers.map(tokenField));
  const families = new Map();
  for (const [path, item] of Object.entries(root.paths)) {
    for (const [method, call] of Object.entries(item)) {
      const family = (call.tags || ['other'])[0];
      if (!families.has(family)) families.set(family, []);
      families.get(family).push(operation(root, path, method, call));
    }
  }
  const main = document.getElementById('calls');
  main.replaceChildren();
  for (const [family, calls] of families) main.append(make('h2', family), ...calls);
}

start().catch((error) => {
  document.getElementById('calls').textContent = String(error);
});

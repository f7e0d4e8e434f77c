// The management API: the same operations as the command line's, over the session's cookie.

const OWN = 'Coldshelf_20261101.';
const AWS = 'StorageGateway_20130630.';
const RANK = { viewer: 0, operator: 1, admin: 2 };

export class ApiError extends Error {
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

// Who is logged in: { user, role, csrf }; null: nobody.
export const session = { now: null };
const listeners = new Set();
export const onSession = (f) => listeners.add(f);

function enter(answer) {
  session.now = answer && {
    user: answer.User, role: answer.Role, csrf: answer.CsrfToken, operations: null,
    idleMs: (answer.IdleTimeoutSeconds || 1800) * 1000,
  };
  hint(!!session.now);
  listeners.forEach((f) => f(session.now));
  return session.now;
}

// The role an operation needs (ListOperations), or the role itself.
export const roleOf = (need) => (need in RANK ? need : session.now?.operations?.get(need) || 'admin');
export const may = (need) => !!session.now && RANK[session.now.role] >= RANK[roleOf(need)];
// Whether this gateway knows an operation at all.
export const knows = (name) => !!session.now?.operations?.has(name);

export async function learn() {
  const { Operations } = await call('ListOperations');
  session.now.operations = new Map(Operations.map((o) => [o.Name, o.Role]));
}

async function send(method, path, headers, body, signal) {
  let response;
  try {
    response = await fetch(path, {
      method, headers, body, signal, credentials: 'same-origin', cache: 'no-store',
    });
  } catch (problem) {
    if (problem.name === 'AbortError') throw problem;
    throw new ApiError('The gateway does not answer.', 'unreachable', 0);
  }
  const text = await response.text();
  let answer = {};
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    answer = { message: `The answer is not JSON (HTTP ${response.status}).` };
  }
  if (response.ok) return answer;
  throw new ApiError(answer.message || answer.Message || `HTTP ${response.status}`,
    answer.code || answer.__type || 'failed', response.status);
}

export async function login(accessKeyId, secret) {
  return enter(await send('POST', '/login', { 'Content-Type': 'application/json' },
    JSON.stringify({ AccessKeyId: accessKeyId, SecretAccessKey: secret })));
}

// Whether it is worth asking: a first visitor's browser need not be told that nobody is logged in.
const HINT = 'coldshelf-session';
function hint(set) {
  try {
    if (set) localStorage.setItem(HINT, '1');
    else if (set === false) localStorage.removeItem(HINT);
    return localStorage.getItem(HINT) !== null;
  } catch {
    return true;  // no storage: ask
  }
}

// After a reload the cookie is still there, the token is asked for.
export async function resume() {
  if (!hint()) return enter(null);
  try {
    return enter(await send('GET', '/session', {}));
  } catch (problem) {
    if (problem.status === 401 || problem.status === 403) return enter(null);
    throw problem;
  }
}

export async function logout() {
  const token = session.now?.csrf;
  try {
    await send('POST', '/logout', { 'X-Coldshelf-Csrf': token || '' });
  } finally {
    enter(null);
  }
}

async function run(target, input, signal) {
  try {
    return await send('POST', '/', {
      'Content-Type': 'application/x-amz-json-1.1',
      'X-Amz-Target': target,
      'X-Coldshelf-Csrf': session.now?.csrf || '',
    }, JSON.stringify(input || {}), signal);
  } catch (problem) {
    if (problem.status === 401 && session.now) enter(null);
    throw problem;
  }
}

export const call = (name, input, signal) => run(OWN + name, input, signal);
export const callAws = (name, input, signal) => run(AWS + name, input, signal);

// Calls now and then again `ms` after each answer, while the page can be seen. `use(answer)` and
// `fail(error)` may be called until stop().
export function poll(ask, ms, use, fail) {
  const abort = new AbortController();
  let timer = 0;
  let running = false;
  let again = false;
  const step = async () => {
    clearTimeout(timer);
    if (abort.signal.aborted) return;
    if (running) {
      again = true;
      return;
    }
    if (!document.hidden) {
      running = true;
      try {
        const answer = await ask(abort.signal);
        if (!abort.signal.aborted) use(answer);
      } catch (problem) {
        // Without `fail`: what is shown stays, and the frame says that nobody answers.
        if (!abort.signal.aborted && problem.name !== 'AbortError') fail?.(problem);
      }
      running = false;
    }
    if (again) {
      again = false;
      step();
    } else if (!abort.signal.aborted) {
      timer = setTimeout(step, typeof ms === 'function' ? ms() : ms);
    }
  };
  const seen = () => !document.hidden && step();
  document.addEventListener('visibilitychange', seen);
  step();
  return {
    refresh: step,
    stop() {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
    },
  };
}

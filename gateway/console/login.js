import { h, render } from './dom.js';
import { login } from './api.js';
import { failure, field } from './ui.js';

export function drawLogin(root, problem) {
  const note = h('div', { 'aria-live': 'assertive' }, problem && failure(problem));
  const go = h('button', { type: 'submit', class: 'primary' }, 'Log in');
  const form = h('form', { class: 'login' },
    h('div', { class: 'mark' }, h('img', { src: '/favicon.svg', alt: '', width: 44, height: 44 }),
      h('h1', null, 'coldshelf')),
    field('id', 'Access key ID', { required: true, autocomplete: 'username', autocapitalize: 'off' }),
    field('secret', 'Secret access key', { kind: 'password', required: true, autocomplete: 'current-password' }),
    note, go,
    h('p', { class: 'muted' }, 'No key yet? On the gateway: ',
      h('code', null, 'coldshelf user add NAME --role admin')));
  form.onsubmit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    render(note);
    try {
      await login(form.elements.id.value.trim(), form.elements.secret.value);
    } catch (wrong) {
      render(note, failure(wrong));
      form.elements.secret.value = '';
      form.elements.secret.focus();
    }
    go.disabled = false;
  };
  document.title = 'Log in · coldshelf';
  root.replaceChildren(h('main', { class: 'gate' }, form));
  form.elements.id.focus();
}

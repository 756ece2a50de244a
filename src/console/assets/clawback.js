// Live updates and keys. Every page works without this file.
(() => {
  'use strict';
  const main = () => document.getElementById('main');
  const status = document.getElementById('live');

  // --- live updates: the server says that something changed, the page fetches itself again ---
  const busy = () => {
    const at = document.activeElement;
    if (at && main().contains(at) && /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return true;
    return [...main().querySelectorAll('form[method=post] input:not([type=hidden]), form[method=post] textarea')]
      .some((field) => field.value !== field.defaultValue);
  };
  const refresh = async () => {
    if (busy() || document.getElementById('help').open) { waiting = true; return; }
    waiting = false;
    const answer = await fetch(location.href, { headers: { accept: 'text/html', 'x-clawback-watches': '1' } });
    if (!answer.ok || answer.redirected) return;
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById('main');
    if (!next || busy()) return;
    const open = [...main().querySelectorAll('details')].map((one) => one.open);
    const told = main().querySelector('.told');
    if (told && !next.querySelector('.told')) next.prepend(told);
    const row = [...document.querySelectorAll('.rows a')].indexOf(document.activeElement);
    main().replaceWith(next);
    next.querySelectorAll('details').forEach((one, at) => { one.open = open[at] || one.open; });
    if (row >= 0) { const rows = document.querySelectorAll('.rows a'); if (rows[row]) rows[row].focus(); }
    if (status) status.textContent = 'Updated ' + new Date().toISOString().slice(11, 19) + '.';
  };
  let waiting = false;
  const about = main() && main().dataset.live;
  if (about && window.EventSource) {
    const source = new EventSource('/live?about=' + encodeURIComponent(about));
    source.addEventListener('changed', refresh);
    source.addEventListener('open', () => { if (status) status.textContent = 'Live.'; });
    source.addEventListener('error', () => { if (status) status.textContent = 'Not live: reload to see what is new.'; });
    document.addEventListener('focusout', () => setTimeout(() => { if (waiting) refresh(); }, 200));
    window.addEventListener('pagehide', () => source.close());
  }

  // --- keys; they can be switched off (WCAG 2.1.4) ---
  const help = document.getElementById('help');
  const off = document.getElementById('keys-off');
  const button = document.getElementById('keys');
  if (!help || !button || !off) return;
  button.closest('p').hidden = false;
  button.addEventListener('click', () => help.showModal());
  const kept = (value) => { try { if (value !== undefined) localStorage.setItem('keys-off', value); return localStorage.getItem('keys-off') === '1'; } catch { return false; } };
  off.checked = kept();
  off.addEventListener('change', () => kept(off.checked ? '1' : '0'));
  const move = (by) => {
    const rows = [...document.querySelectorAll('.rows a')];
    const at = rows.indexOf(document.activeElement);
    const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
    if (next) next.focus();
  };
  let went = 0;
  document.addEventListener('keydown', (event) => {
    if (off.checked || event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (Date.now() - went < 1500) {
      const entry = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      went = 0;
      if (entry) { event.preventDefault(); entry.click(); return; }
    }
    if (event.key === 'g') went = Date.now();
    else if (event.key === 'j') move(1);
    else if (event.key === 'k') move(-1);
    else if (event.key === '?') help.showModal();
    else if (event.key === '/') {
      const search = document.getElementById('search');
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    }
  });
})();

() => {
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    const visible = [...document.querySelectorAll('button.primary')].find((b) => b.offsetParent);
    if (!visible) return;
    event.preventDefault();
    event.stopPropagation(); // else it would also tick the box that has the focus
    visible.click();
  }, true);

  document.addEventListener('keydown', (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const tab = event.target.closest?.('[role=tab]');
    if (!way || !tab) return;
    const tabs = [...tab.parentNode.querySelectorAll('[role=tab]')];
    const next = tabs[(tabs.indexOf(tab) + way + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });

  // Gradio's message is a button around a button, which a screen reader cannot tell apart.
  const plain = () => document.querySelectorAll('.toast-header[role]').forEach((header) => {
    header.removeAttribute('role');
    header.removeAttribute('tabindex');
  });
  const toasts = document.querySelector('.toast-wrap');
  if (toasts) new MutationObserver(plain).observe(toasts, { childList: true, subtree: true });
}

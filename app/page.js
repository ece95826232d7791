() => {
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    const visible = [...document.querySelectorAll('button.primary')].find((b) => b.offsetParent);
    if (visible) { event.preventDefault(); visible.click(); }
  });

  // Gradio's message is a button around a button, which a screen reader cannot tell apart.
  const plain = () => document.querySelectorAll('.toast-header[role]').forEach((header) => {
    header.removeAttribute('role');
    header.removeAttribute('tabindex');
  });
  const toasts = document.querySelector('.toast-wrap');
  if (toasts) new MutationObserver(plain).observe(toasts, { childList: true, subtree: true });
}

// Drawing no more often than it is seen.

// A function that has `draw` called in the next frame, once, however often it is called itself.
export function inFrame(draw) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      draw();
    });
  };
}

// A function that has `act` called `delay` ms from now, once, however often it is called itself.
export function soon(delay, act) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    setTimeout(() => {
      due = false;
      act();
    }, delay);
  };
}

// Calls `act` every `interval` ms while somebody can see the panel.
export function whileVisible(panel, interval, act) {
  let timer;
  let inView = false;
  const decide = () => {
    const seen = inView && !document.hidden;
    if (seen && timer === undefined) {
      timer = setInterval(act, interval);
      act();
    } else if (!seen) {
      clearInterval(timer);
      timer = undefined;
    }
  };
  new IntersectionObserver((entries) => {
    inView = entries.at(-1).isIntersecting;
    decide();
  }).observe(panel);
  document.addEventListener("visibilitychange", decide);
}

/** Times in the reader's own time zone and manner; the page comes with UTC. */

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });
const relativeDay = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** @param {Date} time @returns {Date} the midnight before */
const midnight = (time) => new Date(time.getFullYear(), time.getMonth(), time.getDate());

/**
 * Write a time into its element.
 * @param {HTMLTimeElement} element
 * @param {Date} time
 */
export function showClock(element, time) {
  element.dateTime = time.toISOString();
  element.textContent = clock.format(time);
  element.title = moment.format(time);
}

/** @param {ParentNode} root whose `<time data-moment>` become local */
export function localizeMoments(root) {
  for (const element of root.querySelectorAll("time[data-moment]")) {
    const time = new Date(/** @type {HTMLTimeElement} */ (element).dateTime);
    const isToday = nameOfDay(time) === relativeDay.format(0, "day");
    element.textContent = isToday ? clock.format(time) : moment.format(time);
  }
}

/** @param {Date} time @returns {string} "today", "yesterday", or the day's date */
export function nameOfDay(time) {
  const today = midnight(new Date());
  const days = Math.round((midnight(time).getTime() - today.getTime()) / 86_400_000);
  if (days === 0 || days === -1) return relativeDay.format(days, "day");
  return (time.getFullYear() === today.getFullYear() ? day : dayOfYear).format(time);
}

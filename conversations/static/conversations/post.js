/** Forms that scripts send. */

/**
 * @param {string} url
 * @param {FormData} body
 * @param {object} words for the person, when nothing came of it
 * @param {Record<number, string>} words.refused by the status of the answer
 * @param {string} words.lost what else may be wrong
 * @returns {Promise<Response>}
 * @throws {Error} in those words
 */
export async function post(url, body, { refused, lost }) {
  const headers = { Accept: "application/json" };
  const answer = await fetch(url, { method: "POST", body, headers }).catch(() => null);
  if (!answer?.ok) throw new Error(refused[answer?.status ?? 0] ?? lost);
  return answer;
}

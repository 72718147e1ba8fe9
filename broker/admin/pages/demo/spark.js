// A sparkline: an SVG polyline over a view box of 60 by 20.

const WIDTH = 60
const HEIGHT = 20

// `values`: at most the last `count` are shown, right-aligned; the height spans at least `spanMin`, from `floor` if given.
export function drawSpark (polyline, values, count, spanMin, floor) {
  const shown = values.slice(-count)
  if (shown.length < 2) return polyline.removeAttribute('points')
  const low = floor ?? Math.min(...shown)
  const high = Math.max(...shown)
  const span = Math.max(high - low, spanMin)
  const bottom = floor ?? (high + low - span) / 2
  const step = WIDTH / (count - 1)
  const from = WIDTH - step * (shown.length - 1)
  const y = (value) => HEIGHT - 2 - (HEIGHT - 4) * (value - bottom) / span
  polyline.setAttribute('points', shown.map((value, number) => `${(from + step * number).toFixed(1)},${y(value).toFixed(1)}`).join(' '))
}

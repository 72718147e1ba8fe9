// A sparkline: an SVG polyline over a view box of 60 by 20.

const WIDTH = 60
const HEIGHT = 20

// `values`: at most the last `count` are shown, right-aligned; the height spans at least `spanMin`.
export function drawSpark (polyline, values, count, spanMin, low = Math.min(...values.slice(-count))) {
  const shown = values.slice(-count)
  if (shown.length < 2) return polyline.removeAttribute('points')
  const high = Math.max(...shown)
  const span = Math.max(high - low, spanMin)
  const bottom = (high + low - span) / 2 < low && span > high - low ? Math.min(low, (high + low - span) / 2) : low
  const step = WIDTH / (count - 1)
  const from = WIDTH - step * (shown.length - 1)
  polyline.setAttribute('points', shown.map((value, number) =>
    `${(from + step * number).toFixed(1)},${(HEIGHT - 2 - (HEIGHT - 4) * (value - bottom) / span).toFixed(1)}`).join(' '))
}

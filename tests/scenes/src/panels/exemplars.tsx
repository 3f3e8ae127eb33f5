// Dots of single requests on a time series; the panel that does this in Grafana is not published.
import { DataFrame } from '@grafana/data';
import { UPlotConfigBuilder } from '@grafana/ui';
import { useEffect, useLayoutEffect, useRef } from 'react';

const RADIUS = 2.5;
const COLOR = '#ffffff';

export function Exemplars({ config, frames }: { config: UPlotConfigBuilder; frames: DataFrame[] }) {
  const latest = useRef(frames);
  useEffect(() => {
    latest.current = frames;
  }, [frames]);
  useLayoutEffect(() => {
    config.addHook('draw', (plot) => {
      const scale = plot.series[1]?.scale ?? 'y';
      const { min, max } = plot.scales[scale];
      plot.ctx.fillStyle = COLOR;
      for (const frame of latest.current) {
        const [times, values] = [frame.fields[0].values, frame.fields[1].values];
        for (let place = 0; place < frame.length; place++) {
          if (values[place] > max! || values[place] < min!) {
            continue;
          }
          const [x, y] = [plot.valToPos(times[place], 'x', true), plot.valToPos(values[place], scale, true)];
          plot.ctx.beginPath();
          plot.ctx.arc(x, y, RADIUS, 0, 2 * Math.PI);
          plot.ctx.fill();
        }
      }
    });
  }, [config]);
  return null;
}

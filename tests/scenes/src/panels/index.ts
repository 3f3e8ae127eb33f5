// The panels. Those of `grafana.tsx` are drawn by Grafana's own components; those of `plain.tsx` cannot be had outside of
// its application: they draw the same data plainly, so that errors and missing data are seen all the same.
import { FieldColorModeId, identityOverrideProcessor, PanelPlugin } from '@grafana/data';

import { BarGauges, Series, Stats, TableOfRows } from './grafana';
import { Calls, Gauges, Heatmap, Lines, States, Waterfall } from './plain';

/** Settings of a panel type's own, with the values they have unless a dashboard says otherwise. */
const CUSTOM: Record<string, Record<string, unknown>> = {
  timeseries: {
    drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, lineStyle: { fill: 'solid' }, fillOpacity: 0, gradientMode: 'none',
    showPoints: 'auto', pointSize: 5, axisPlacement: 'auto', axisSoftMax: undefined, spanNulls: false, stacking: { mode: 'none', group: 'A' }, barAlignment: 0,
    scaleDistribution: { type: 'linear' }, thresholdsStyle: { mode: 'off' }, hideFrom: { tooltip: false, viz: false, legend: false },
  },
  table: { align: 'auto', cellOptions: { type: 'auto' }, width: undefined, filterable: false, inspect: false },
};

function plugin(id: string, component: any): PanelPlugin {
  const made = new PanelPlugin(component).useFieldConfig({
    useCustomConfig: (builder: any) => {
      for (const [path, defaultValue] of Object.entries(CUSTOM[id] ?? {})) {
        const editor = () => null;
        builder.addCustomEditor({
          id: path, path, name: path, defaultValue, editor, override: editor, process: identityOverrideProcessor, shouldApply: () => true, settings: {},
        });
      }
    },
    standardOptions: { color: { defaultValue: { mode: FieldColorModeId.Thresholds } } } as any,
  });
  made.meta = { id, name: id, type: 'panel', info: {}, skipDataQuery: false } as any;
  return made;
}

export const plugins: Record<string, PanelPlugin> = Object.fromEntries(
  Object.entries({
    timeseries: Series,
    stat: Stats,
    gauge: Gauges,
    bargauge: BarGauges,
    table: TableOfRows,
    logs: Lines,
    traces: Waterfall,
    nodeGraph: Calls,
    heatmap: Heatmap,
    'state-timeline': States,
  }).map(([id, component]) => [id, plugin(id, component)])
);

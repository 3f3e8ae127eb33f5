// Dashboards with one mistake each. The harness must find every one of them, else it finds nothing in others either.
const panel = (type, expr, more = {}) => ({
  id: 2, type, title: 'Fault', description: '', gridPos: { x: 0, y: 1, w: 12, h: 8 }, options: { reduceOptions: { calcs: ['lastNotNull'] } },
  datasource: { type: 'prometheus', uid: 'metrics' }, fieldConfig: { defaults: { unit: 'short' }, overrides: [] },
  targets: [{ refId: 'A', expr, datasource: { type: 'prometheus', uid: 'metrics' } }], ...more,
});

const board = (panel, variables = []) => ({
  title: 'Fault', time: { from: 'now-5m', to: 'now' }, templating: { list: variables },
  panels: [{ id: 1, type: 'row', title: 'Row', gridPos: { x: 0, y: 0, w: 24, h: 1 } }, panel],
});

export const faults = {
  'broken PromQL': board(panel('timeseries', 'sum by (job (up)')),
  'a metric that does not exist': board(panel('timeseries', 'upp')),
  'a panel type that does not exist': board(panel('graph', 'up')),
  'a data source that does not exist': board(panel('stat', 'up', { datasource: { type: 'prometheus', uid: 'promtheus' } })),
  'a transformation that does not exist': board(panel('table', 'up', { transformations: [{ id: 'organise', options: {} }] })),
  'a variable that does not exist': board(panel('timeseries', 'up{job="$jop"}')),
};

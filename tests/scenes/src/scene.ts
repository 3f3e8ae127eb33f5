// A dashboard's JSON as a scene, as Grafana itself makes one of it: variables, rows, panels with their queries.
import {
  ConstantVariable,
  CustomVariable,
  DataSourceVariable,
  EmbeddedScene,
  QueryVariable,
  SceneDataTransformer,
  SceneGridItem,
  SceneGridLayout,
  SceneGridRow,
  SceneQueryRunner,
  SceneTimeRange,
  SceneVariableSet,
  TextBoxVariable,
  VariableValueSelectors,
  VizPanel,
} from '@grafana/scenes';

type Json = any;

/** `chosen` sets variables and the time range (`from`). */
export function sceneOf(board: Json, chosen: Record<string, string>): EmbeddedScene {
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({ from: chosen.from ?? board.time.from, to: board.time.to, timeZone: 'utc' }),
    $variables: new SceneVariableSet({ variables: board.templating.list.map((json: Json) => variable(json, chosen[json.name])) }),
    controls: [new VariableValueSelectors({})],
    body: new SceneGridLayout({ isLazy: false, children: rows(board.panels) }),
  });
}

function variable(json: Json, value?: string) {
  const common = { name: json.name, label: json.label };
  switch (json.type) {
    case 'datasource':
      return new DataSourceVariable({ ...common, pluginId: json.query, value: json.current.value, text: json.current.text });
    case 'query':
      return new QueryVariable({
        ...common,
        datasource: json.datasource,
        query: json.query,
        refresh: json.refresh,
        sort: json.sort,
        isMulti: json.multi,
        includeAll: json.includeAll,
        allValue: json.allValue,
        value: value ?? json.current?.value ?? '',
        text: value ?? json.current?.text ?? '',
      });
    case 'custom':
      return new CustomVariable({ ...common, query: json.query, value: value ?? json.current.value, text: value ?? json.current.text });
    case 'textbox':
      return new TextBoxVariable({ ...common, value: value ?? json.current.value });
    default:
      // Seen at once: every panel that uses it shows an error.
      return new ConstantVariable({ ...common, value: `no variables of type ${json.type}` });
  }
}

/** The panels between two titles belong to the first one. */
function rows(panels: Json[]): Array<SceneGridRow | SceneGridItem> {
  const all: SceneGridRow[] = [];
  for (const json of panels) {
    if (json.type === 'row') {
      all.push(new SceneGridRow({ key: `row-${json.id}`, title: json.title, y: json.gridPos.y, children: [] }));
      continue;
    }
    const row = all.at(-1)!;
    row.setState({ children: [...row.state.children, item(json)] });
  }
  return all;
}

function item(json: Json): SceneGridItem {
  const { x, y, w, h } = json.gridPos;
  const runner = new SceneQueryRunner({ datasource: json.datasource, queries: json.targets });
  const data = new SceneDataTransformer({ $data: runner, transformations: json.transformations ?? [] });
  const { title, description, options, fieldConfig } = json;
  const body = new VizPanel({ key: `panel-${json.id}`, pluginId: json.type, title, description, options, fieldConfig, $data: data });
  return new SceneGridItem({ x, y, width: w, height: h, isDraggable: false, isResizable: false, body });
}

// What Grafana's application gives its libraries before they draw anything: registries, templates, data sources, panels.
import {
  createTheme,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  EventBusSrv,
  FieldConfigPropertyItem,
  identityOverrideProcessor,
  LoadingState,
  numberOverrideProcessor,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';
import * as grafana from '@grafana/runtime';
import { sceneGraph } from '@grafana/scenes';
import { catchError, map, of } from 'rxjs';

import { plugins } from './panels';
import { sourceOf, sources } from './sources';

export const theme = createTheme({ colors: { mode: 'dark' } });
// Set by functions that are exported for Grafana's application alone.
const runtime: any = grafana;

function property(id: string, process: any): FieldConfigPropertyItem<any, any, any> {
  const editor = (() => null) as any;
  return { id, path: id, name: id, isCustom: false, process, shouldApply: () => true, editor, override: editor, settings: {}, category: [id] };
}

/** Without these registries units, thresholds and transformations would be left out without a word. */
function fillRegistries() {
  standardFieldConfigEditorRegistry.setInit(() => [
    property('unit', unitOverrideProcessor),
    property('min', numberOverrideProcessor),
    property('max', numberOverrideProcessor),
    property('decimals', numberOverrideProcessor),
    property('displayName', displayNameOverrideProcessor),
    property('color', identityOverrideProcessor),
    property('thresholds', thresholdsOverrideProcessor),
    property('mappings', valueMappingsOverrideProcessor),
    property('links', dataLinksOverrideProcessor),
    property('noValue', identityOverrideProcessor),
  ]);
  const transformers = new Map(Object.values(standardTransformers).map((transformer: any) => [transformer.id, transformer]));
  standardTransformersRegistry.setInit(
    () =>
      [...transformers.values()].map((transformation: any) => ({
        id: transformation.id,
        name: transformation.name,
        transformation,
        editor: () => null,
        aliasIds: [],
      })) as any
  );
}

/** Fills variables into a text by the scene that a query belongs to. */
export function replaced(text: string, scopedVars: any, format?: any): string {
  const object = scopedVars?.__sceneObject?.value;
  const scene = object?.valueOf ? object.valueOf() : object;
  return scene ? sceneGraph.interpolate(scene, text, scopedVars, format) : text;
}

/** A request as the state that panels wait for. */
function run(source: any, request: any) {
  const common = { timeRange: request.range, request, annotations: [] };
  const failed = (error: any) => {
    const told = { message: String(error?.message ?? error) };
    return of({ ...common, state: LoadingState.Error, series: [], errors: [told], error: told });
  };
  return source.query(request).pipe(
    map((answer: any) => ({ ...common, state: LoadingState.Done, series: answer.data, structureRev: 1 })),
    catchError(failed)
  );
}

/** Must be called once, before the first scene. */
export function install() {
  const config = runtime.config;
  Object.assign(config, { theme2: theme, theme: theme.v1, bootData: { settings: {}, user: {}, navTree: [] } });
  config.featureToggles ??= {};
  config.panels = Object.fromEntries(Object.keys(plugins).map((id) => [id, {}]));
  fillRegistries();
  runtime.setAppEvents(new EventBusSrv());
  runtime.setTemplateSrv({
    replace: replaced,
    getVariables: () => [],
    containsTemplate: (text?: string) => text?.includes('$') ?? false,
    updateTimeRange() {},
  });
  runtime.setDataSourceSrv({
    get: async (ref: any, scopedVars: any) => sourceOf(ref, (text) => replaced(text, scopedVars)),
    getInstanceSettings: (ref: any, scopedVars: any) => sourceOf(ref, (text) => replaced(text, scopedVars)).instanceSettings,
    getList: (filters: any) => sources.map((source) => source.instanceSettings).filter((settings) => !filters?.pluginId || settings.type === filters.pluginId),
    reload() {},
  });
  runtime.setRunRequest(run);
  runtime.setPluginImportUtils({ importPanelPlugin: async (id: string) => plugin(id), getPanelPluginFromCache: plugin });
}

function plugin(id: string) {
  const found = plugins[id];
  if (!found) {
    throw new Error(`there is no panel of type ${id}`);
  }
  return found;
}

// Data sources that ask as Grafana's own do: Prometheus, and Binnacle in Loki's and in Jaeger's place. The server beside
// this page passes /metrics-source and /logs-source on.
import { DataSourceApi, FieldType, toDataFrame } from '@grafana/data';
import { from } from 'rxjs';

import { replaced } from './runtime';

type Json = any;

async function answer(url: string, parameters: Record<string, string | number>): Promise<Json> {
  const query = new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)]));
  const response = await fetch(`${url}?${query}`);
  const text = await response.text();
  if (!response.ok) {
    throw new Error(`${response.status} ${text.slice(0, 300)}`);
  }
  return JSON.parse(text);
}

/** Several values of a variable, as an expression; a single one as it is. */
const asExpression = (value: string | string[]) => (Array.isArray(value) ? (value.length > 1 ? `(${value.join('|')})` : value[0]) : value);
const named = (legend: string | undefined, labels: Record<string, string>) =>
  legend ? legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '') : undefined;

abstract class Source extends DataSourceApi<Json, Json> {
  instanceSettings: Json;
  constructor(uid: string, name: string, type: string) {
    const settings: Json = { id: 1, uid, name, type, access: 'proxy', jsonData: {}, meta: { id: type, info: {} }, readOnly: true };
    super(settings);
    this.instanceSettings = settings;
  }
  abstract one(target: Json, request: Json, text: (template: string) => string): Promise<Json[]>;
  query(request: Json): Json {
    const step = this.stepOf(request);
    const scoped = {
      ...request.scopedVars,
      __rate_interval: { value: `${Math.max(step, 20)}s` },
      __auto: { value: `${step}s` },
      __interval: { value: `${step}s` },
      __range: { value: `${Math.round((request.range.to.valueOf() - request.range.from.valueOf()) / 1000)}s` },
    };
    const text = (template: string) => replaced(template ?? '', scoped, asExpression);
    const all = request.targets.map((target: Json) => this.one(target, request, text));
    return from(Promise.all(all).then((frames) => ({ data: frames.flat() })));
  }
  /** Seconds between two points. */
  stepOf(request: Json): number {
    return Math.max(5, Math.round((request.intervalMs ?? 10_000) / 1000));
  }
  async testDatasource() {
    return { status: 'success' as const, message: '' };
  }
  getRef() {
    return { uid: this.uid, type: this.type };
  }
}

/** No number is a gap. */
const number = (text: string) => (text === 'NaN' ? null : Number(text));

/** Prometheus' series, also those that Loki's API gives. */
function series(target: Json, result: Json[]) {
  const numbers = (series: Json) => series.values ?? [series.value];
  return result.map((found) =>
    toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: numbers(found).map((point: Json) => point[0] * 1000) },
        {
          name: 'Value',
          type: FieldType.number,
          labels: found.metric,
          values: numbers(found).map((point: Json) => number(point[1])),
          config: { displayNameFromDS: named(target.legendFormat, found.metric) },
        },
      ],
    })
  );
}

/** One row a series, a column for each label. */
function table(target: Json, result: Json[], isOnly: boolean) {
  if (result.length === 0) {
    return [];
  }
  const labels = [...new Set(result.flatMap((found) => Object.keys(found.metric)))];
  const column = (label: string) => ({ name: label, type: FieldType.string, values: result.map((found) => found.metric[label] ?? '') });
  return [
    toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: result.map((found) => found.value[0] * 1000) },
        ...labels.map(column),
        { name: isOnly ? 'Value' : `Value #${target.refId}`, type: FieldType.number, values: result.map((found) => number(found.value[1])) },
      ],
    }),
  ];
}

class Metrics extends Source {
  async one(target: Json, request: Json, text: (template: string) => string) {
    const [start, end] = [request.range.from.valueOf() / 1000, request.range.to.valueOf() / 1000];
    const query = text(target.expr);
    if (target.instant) {
      const { data } = await answer('/metrics-source/api/v1/query', { query, time: end });
      return target.format === 'table' ? table(target, data.result, request.targets.length === 1) : series(target, data.result);
    }
    const { data } = await answer('/metrics-source/api/v1/query_range', { query, start, end, step: this.stepOf(request) });
    const frames = series(target, data.result);
    if (!target.exemplar) {
      return frames;
    }
    const exemplars = await answer('/metrics-source/api/v1/query_exemplars', { query, start, end });
    const dots = exemplars.data.flatMap((found: Json) => found.exemplars);
    const values = (of: (dot: Json) => unknown) => dots.map(of);
    const frame = toDataFrame({
      name: 'exemplar',
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: values((dot) => dot.timestamp * 1000) },
        { name: 'Value', type: FieldType.number, values: values((dot) => Number(dot.value)) },
        { name: 'trace_id', type: FieldType.string, values: values((dot) => dot.labels.trace_id) },
      ],
    });
    frame.meta = { custom: { resultType: 'exemplar' } };
    return [...frames, frame];
  }
  async metricFindQuery(query: Json, options: Json) {
    const text = replaced(query.query, options?.scopedVars, asExpression);
    const [, selector, label] = /^label_values\((.+),\s*(\w+)\)$/.exec(text)!;
    const { data } = await answer(`/metrics-source/api/v1/label/${label}/values`, { 'match[]': selector });
    return data.map((value: string) => ({ text: value }));
  }
}

class Logs extends Source {
  async one(target: Json, request: Json, text: (template: string) => string) {
    const [start, end] = [request.range.from.valueOf() * 1e6, request.range.to.valueOf() * 1e6];
    const query = text(target.expr);
    if (target.queryType === 'instant') {
      const { data } = await answer('/logs-source/loki/api/v1/query', { query, time: end });
      return table(target, data.result, false);
    }
    const parameters = { query, start, end, step: `${this.stepOf(request)}s`, limit: target.maxLines ?? 1000, direction: 'backward' };
    const { data } = await answer('/logs-source/loki/api/v1/query_range', parameters);
    return data.resultType === 'streams' ? this.lines(target, data.result) : series(target, data.result);
  }
  lines(target: Json, streams: Json[]) {
    const all = streams.flatMap((found) => found.values.map(([time, line]: [string, string]) => ({ time: Number(time) / 1e6, line, labels: found.stream })));
    all.sort((one, other) => other.time - one.time);
    const fields = [
      { name: 'Time', type: FieldType.time, values: all.map((one) => one.time) },
      { name: 'Line', type: FieldType.string, values: all.map((one) => one.line) },
      { name: 'labels', type: FieldType.other, values: all.map((one) => one.labels) },
    ];
    return all.length ? [toDataFrame({ refId: target.refId, fields })] : [];
  }
  async metricFindQuery(query: Json) {
    const { data } = await answer(`/logs-source/loki/api/v1/label/${query.label}/values`, { since: '1h' });
    return data.map((value: string) => ({ text: value }));
  }
}

class Traces extends Source {
  async one(target: Json, request: Json, text: (template: string) => string) {
    const [from, to] = [request.range.from.valueOf(), request.range.to.valueOf()];
    const base = '/logs-source/jaeger/api';
    if (target.queryType === 'dependencyGraph') {
      const { data } = await answer(`${base}/dependencies`, { endTs: to, lookback: to - from });
      return [column('calls', data, { parent: (call) => call.parent, child: (call) => call.child, callCount: (call) => call.callCount })];
    }
    if (target.queryType !== 'search') {
      const { data } = await answer(`${base}/traces/${text(target.query)}`, {});
      const trace = data[0];
      return [
        column('trace', trace.spans, {
          spanID: (span) => span.spanID,
          parentSpanID: (span) => span.references[0]?.spanID ?? '',
          operationName: (span) => span.operationName,
          serviceName: (span) => trace.processes[span.processID].serviceName,
          startTime: (span) => span.startTime / 1000,
          duration: (span) => span.duration / 1000,
          failed: (span) => span.tags.some((tag: Json) => tag.key === 'error' && String(tag.value) === 'true'),
        }),
      ];
    }
    const parameters: Record<string, string | number> = { service: text(target.service), limit: target.limit, start: from * 1000, end: to * 1000 };
    if (target.minDuration) {
      parameters.minDuration = text(target.minDuration);
    }
    if (target.tags) {
      parameters.tags = JSON.stringify(Object.fromEntries(text(target.tags).split(/\s+/).map((pair) => pair.split('='))));
    }
    const { data } = await answer(`${base}/traces`, parameters);
    const root = (trace: Json) => trace.spans.reduce((first: Json, span: Json) => (span.startTime < first.startTime ? span : first));
    const frame = column('traces', data, {
      traceID: (trace) => trace.traceID,
      traceName: (trace) => `${trace.processes[root(trace).processID].serviceName}: ${root(trace).operationName}`,
      startTime: (trace) => root(trace).startTime / 1000,
      duration: (trace) => Math.max(...trace.spans.map((span: Json) => span.startTime + span.duration)) - root(trace).startTime,
    });
    const titles: Record<string, Json> = {
      traceID: { displayName: 'Trace ID' },
      traceName: { displayName: 'Trace name' },
      startTime: { displayName: 'Start time' },
      duration: { displayName: 'Duration', unit: 'µs' },
    };
    for (const field of frame.fields) {
      field.config = titles[field.name];
      field.type = field.name === 'startTime' ? FieldType.time : field.type;
    }
    return data.length ? [frame] : [];
  }
}

/** A frame with a column for each property. */
function column(name: string, rows: Json[], properties: Record<string, (row: Json) => unknown>) {
  const fields = Object.entries(properties).map(([field, of]) => ({ name: field, values: rows.map(of) }));
  return toDataFrame({ name, fields });
}

export const sources = [
  new Metrics('metrics', 'Prometheus', 'prometheus'),
  new Logs('logs', 'Binnacle', 'loki'),
  new Traces('traces', 'Binnacle traces', 'jaeger'),
];

/** The source that a dashboard names, by its uid or by a variable. */
export function sourceOf(ref: Json, fill: (text: string) => string): Source {
  const uid = fill(typeof ref === 'string' ? ref : (ref?.uid ?? 'metrics'));
  const found = sources.find((source) => source.uid === uid || source.name === uid);
  if (!found) {
    throw new Error(`there is no data source ${uid}`);
  }
  return found;
}

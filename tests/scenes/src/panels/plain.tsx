// Panels that Grafana keeps to its application, drawn plainly from the same data.
import { DataFrame, formattedValueToString, getFieldDisplayName, PanelProps } from '@grafana/data';
import React from 'react';

import { Empty, useValues } from './grafana';

const PALETTE = ['#73bf69', '#f2cc0c', '#8ab8ff', '#ff780a', '#b877d9', '#f2495c', '#5794f2', '#96d98d'];
const LEVELS: Record<string, string> = { critical: '#b877d9', fatal: '#b877d9', error: '#f2495c', warn: '#ff9830', info: '#73bf69', debug: '#5794f2' };

const rowsOf = (frame: DataFrame) =>
  Array.from({ length: frame.length }, (_, row) => Object.fromEntries(frame.fields.map((field) => [field.name, field.values[row]])));
const allRows = (props: PanelProps) => props.data.series.flatMap(rowsOf);

export function Lines(props: PanelProps) {
  const rows = allRows(props);
  if (!rows.length) {
    return <Empty />;
  }
  return (
    <div style={{ height: props.height, overflow: 'hidden', font: '12px/20px "DejaVu Sans Mono", monospace' }}>
      {rows.slice(0, Math.ceil(props.height / 20)).map((row, place) => (
        <div key={place} style={{ borderLeft: `3px solid ${LEVELS[row.labels.detected_level] ?? '#8e8e8e'}`, paddingLeft: 8, whiteSpace: 'nowrap', overflow: 'hidden', textOverflow: 'ellipsis' }}>
          <span style={{ color: '#8e8e8e' }}>{new Date(row.Time).toISOString().replace('T', ' ').slice(0, 23)}</span>{' '}
          {row.labels.service_name && <span style={{ color: '#8ab8ff' }}>{row.labels.service_name} </span>}
          {row.Line}
        </div>
      ))}
    </div>
  );
}

/** Callers before what they called, each with its depth. */
function asTree(spans: any[]): Array<[any, number]> {
  const known = new Set(spans.map((span) => span.spanID));
  const below = (parent: string, depth: number): Array<[any, number]> =>
    spans
      .filter((span) => (known.has(span.parentSpanID) ? span.parentSpanID : '') === parent)
      .sort((one, other) => one.startTime - other.startTime)
      .flatMap((span) => [[span, depth] as [any, number], ...below(span.spanID, depth + 1)]);
  return below('', 0);
}

export function Waterfall(props: PanelProps) {
  const spans = allRows(props);
  if (!spans.length) {
    return <Empty />;
  }
  const start = Math.min(...spans.map((span) => span.startTime));
  const whole = Math.max(...spans.map((span) => span.startTime + span.duration)) - start || 1;
  const services = [...new Set(spans.map((span) => span.serviceName))];
  return (
    <div style={{ height: props.height, overflow: 'hidden', fontSize: 13 }}>
      {asTree(spans).map(([span, depth]) => (
        <div key={span.spanID} style={{ display: 'flex', height: 28, alignItems: 'center' }}>
          <div style={{ width: '32%', paddingLeft: depth * 18, whiteSpace: 'nowrap', overflow: 'hidden' }}>
            {span.failed && <span style={{ color: '#f2495c' }}>● </span>}
            <b>{span.serviceName}</b> <span style={{ color: '#9fa7b3' }}>{span.operationName}</span>
          </div>
          <div style={{ position: 'relative', flex: 1, height: 16 }}>
            <div
              style={{
                position: 'absolute', height: 16, borderRadius: 2, background: PALETTE[services.indexOf(span.serviceName) % PALETTE.length],
                left: `${((span.startTime - start) / whole) * 92}%`, width: `max(2px, ${(span.duration / whole) * 92}%)`,
              }}
            />
            <span style={{ position: 'absolute', left: `calc(${((span.startTime - start + span.duration) / whole) * 92}% + 6px)`, whiteSpace: 'nowrap', fontSize: 11, lineHeight: '16px' }}>
              {span.duration < 1000 ? `${span.duration.toFixed(1)} ms` : `${(span.duration / 1000).toFixed(2)} s`}
            </span>
          </div>
        </div>
      ))}
    </div>
  );
}

/** How many calls more a service makes than it gets. */
const surplus = (service: string, calls: any[]) =>
  calls.reduce((sum, call) => sum + (call.parent === service ? call.callCount : 0) - (call.child === service ? call.callCount : 0), 0);

/** Services by how far they are from those nobody calls. */
function ranks(calls: any[]): string[][] {
  let rest = [...new Set(calls.flatMap((call) => [call.parent, call.child]))];
  const all: string[][] = [];
  while (rest.length) {
    const called = new Set(calls.filter((call) => rest.includes(call.parent) && rest.includes(call.child)).map((call) => call.child));
    let first = rest.filter((service) => !called.has(service));
    if (!first.length) {
      first = [rest.reduce((one, other) => (surplus(other, calls) > surplus(one, calls) ? other : one))]; // out of a circle
    }
    all.push(first);
    rest = rest.filter((service) => !first.includes(service));
  }
  return all;
}

export function Calls(props: PanelProps) {
  const calls = allRows(props).filter((call) => call.parent !== call.child);
  if (!calls.length) {
    return <Empty />;
  }
  const columns = ranks(calls);
  const place = new Map(
    columns.flatMap((services, column) =>
      services.map((service, row): [string, [number, number]] => [
        service,
        [((column + 0.5) / columns.length) * props.width, ((row + 0.5) / services.length) * props.height],
      ])
    )
  );
  return (
    <svg width={props.width} height={props.height} fontSize={12} fill="#ccccdc" textAnchor="middle">
      {calls.map((call) => {
        const [[x1, y1], [x2, y2]] = [place.get(call.parent)!, place.get(call.child)!];
        return (
          <g key={call.parent + call.child}>
            <line x1={x1} y1={y1} x2={x2} y2={y2} stroke="#5a5f6b" />
            <text x={(x1 + x2) / 2} y={(y1 + y2) / 2 - 4} fill="#9fa7b3" fontSize={11}>{call.callCount}</text>
          </g>
        );
      })}
      {[...place].map(([service, [x, y]]) => (
        <g key={service}>
          <circle cx={x} cy={y} r={16} fill="#22252b" stroke="#73bf69" strokeWidth={2} />
          <text x={x} y={y + 32}>{service}</text>
        </g>
      ))}
    </svg>
  );
}

export function Heatmap(props: PanelProps) {
  const buckets = props.data.series
    .map((frame) => ({ bound: Number(frame.fields[1].labels?.le?.replace('+Inf', 'Infinity')), times: frame.fields[0].values, values: frame.fields[1].values }))
    .sort((one, other) => one.bound - other.bound);
  if (!buckets.length) {
    return <Empty />;
  }
  const times = [...new Set(buckets.flatMap((bucket) => Array.from(bucket.times)))].sort((one, other) => one - other);
  const at = buckets.map((bucket) => new Map(Array.from(bucket.times, (time, place) => [time, bucket.values[place]])));
  // Prometheus' buckets hold those below.
  const count = (row: number, time: number) => Math.max(0, (at[row].get(time) ?? 0) - (row ? (at[row - 1].get(time) ?? 0) : 0));
  const most = Math.max(...buckets.flatMap((_, row) => times.map((time) => count(row, time)))) || 1;
  const [left, height] = [56, props.height / buckets.length];
  const width = (props.width - left) / times.length;
  return (
    <svg width={props.width} height={props.height} fontSize={11} fill="#9fa7b3">
      {buckets.map((bucket, row) => {
        const y = props.height - (row + 1) * height;
        return (
          <g key={bucket.bound}>
            <text x={left - 6} y={y + height / 2 + 4} textAnchor="end">{bucket.bound === Infinity ? 'more' : `${bucket.bound} s`}</text>
            {times.map((time, column) => (
              <rect key={time} x={left + column * width} y={y} width={Math.max(width - 0.5, 0.5)} height={height - 1} fill="#ff780a" opacity={Math.sqrt(count(row, time) / most)} />
            ))}
          </g>
        );
      })}
    </svg>
  );
}

/** The point of a circle at a part of three quarters of its round. */
function onArc(part: number, radius: number): string {
  const angle = (0.75 + Math.min(1, Math.max(0, part)) * 1.5) * Math.PI;
  return `${radius * Math.cos(angle)} ${radius * Math.sin(angle)}`;
}

const arc = (part: number, radius: number) =>
  `M ${onArc(0, radius)} A ${radius} ${radius} 0 ${part > 2 / 3 ? 1 : 0} 1 ${onArc(part, radius)}`;

/** Grafana's own gauge needs a library that is not published with it. */
export function Gauges(props: PanelProps) {
  const [one] = useValues(props, false);
  const radius = Math.min(props.width, props.height) * 0.4;
  const { min = 0, max = 1 } = one.field;
  const part = (one.display.numeric - min!) / (max! - min!);
  return (
    <svg width={props.width} height={props.height} fill="none" strokeWidth={radius / 5}>
      <g transform={`translate(${props.width / 2} ${props.height / 2 + radius * 0.1})`}>
        <path d={arc(1, radius)} stroke="#22252b" />
        <path d={arc(part, radius)} stroke={one.display.color} />
        <text textAnchor="middle" dy="0.35em" fontSize={radius * 0.4} fill={one.display.color}>
          {formattedValueToString(one.display)}
        </text>
      </g>
    </svg>
  );
}

export function States(props: PanelProps) {
  const frames = props.data.series.filter((frame) => frame.length > 0);
  if (!frames.length) {
    return <Empty />;
  }
  const [from, to] = [props.timeRange.from.valueOf(), props.timeRange.to.valueOf()];
  const height = Math.min(36, props.height / frames.length);
  return (
    <div style={{ height: props.height, overflow: 'hidden', fontSize: 12 }}>
      {frames.map((frame, place) => {
        const [times, value] = [frame.fields[0].values, frame.fields[1]];
        return (
          <div key={place} style={{ display: 'flex', height, alignItems: 'center' }}>
            <div style={{ width: 190, whiteSpace: 'nowrap', overflow: 'hidden', textAlign: 'right', paddingRight: 8 }}>{getFieldDisplayName(value, frame, props.data.series)}</div>
            <div style={{ position: 'relative', flex: 1, height: height * 0.8, background: '#22252b' }}>
              {stretches(Array.from(times), Array.from(value.values)).map(([start, end, held]) => {
                const shown = value.display!(held);
                const [left, right] = [start, end].map((time) => Math.min(100, Math.max(0, ((time - from) / (to - from)) * 100)));
                return (
                  <div key={start} style={{ position: 'absolute', top: 0, bottom: 0, left: `${left}%`, width: `${right - left}%`, background: shown.color, color: '#111217', overflow: 'hidden', paddingLeft: 4 }}>
                    {formattedValueToString(shown)}
                  </div>
                );
              })}
            </div>
          </div>
        );
      })}
    </div>
  );
}

/** Times in which a value stays the same, without pauses longer than a minute. */
function stretches(times: number[], values: number[]): Array<[number, number, number]> {
  const all: Array<[number, number, number]> = [];
  for (const [place, time] of times.entries()) {
    const last = all.at(-1);
    if (last && last[2] === values[place] && time - last[1] <= 60_000) {
      last[1] = time;
    } else {
      all.push([time, time, values[place]]);
    }
  }
  return all;
}

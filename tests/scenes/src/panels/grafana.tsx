// Panels drawn by the components that Grafana draws them with.
import { FieldDisplay, getFieldDisplayValues, PanelProps } from '@grafana/data';
import { BarGauge, BigValue, BigValueColorMode, BigValueGraphMode, BigValueTextMode, Table, TimeSeries, useTheme2, VizRepeater } from '@grafana/ui';
import React from 'react';

import { Exemplars } from './exemplars';

export function Empty() {
  return <div style={{ textAlign: 'center', padding: 16, color: '#8e8e8e' }}>No data</div>;
}

const isExemplar = (frame: any) => frame.meta?.custom?.resultType === 'exemplar';

export function Series(props: PanelProps<any>) {
  const frames = props.data.series.filter((frame) => !isExemplar(frame));
  if (!frames.some((frame) => frame.length > 0)) {
    return <Empty />;
  }
  const { width, height, timeRange, options } = props;
  return (
    <TimeSeries frames={frames} structureRev={props.data.structureRev} width={width} height={height} timeRange={timeRange} timeZone="utc" legend={options.legend} options={options}>
      {(builder: any) => <Exemplars config={builder} frames={props.data.series.filter(isExemplar)} />}
    </TimeSeries>
  );
}

export function useValues(props: PanelProps<any>, sparkline: boolean): FieldDisplay[] {
  const { fieldConfig, options, replaceVariables, data } = props;
  return getFieldDisplayValues({ fieldConfig, reduceOptions: options.reduceOptions, replaceVariables, theme: useTheme2(), data: data.series, timeZone: 'utc', sparkline });
}

function Repeated({ props, sparkline, children }: { props: PanelProps<any>; sparkline: boolean; children: (one: FieldDisplay, width: number, height: number) => JSX.Element }) {
  const all = useValues(props, sparkline);
  const { width, height, data, renderCounter, options } = props;
  return (
    <VizRepeater<FieldDisplay>
      getValues={() => all}
      source={data}
      width={width}
      height={height}
      renderCounter={renderCounter}
      orientation={options.orientation}
      autoGrid={options.orientation === 'auto'}
      itemSpacing={6}
      renderValue={({ value, width, height }) => children(value, width, height)}
    />
  );
}

export function Stats(props: PanelProps<any>) {
  const theme = useTheme2();
  const { colorMode, graphMode, textMode } = props.options;
  return (
    <Repeated props={props} sparkline={graphMode !== 'none'}>
      {(one, width, height) => (
        <BigValue
          width={width}
          height={height}
          theme={theme}
          value={one.display}
          sparkline={one.sparkline}
          colorMode={colorMode as BigValueColorMode}
          graphMode={graphMode as BigValueGraphMode}
          textMode={textMode as BigValueTextMode}
        />
      )}
    </Repeated>
  );
}

export function BarGauges(props: PanelProps<any>) {
  const theme = useTheme2();
  return (
    <Repeated props={{ ...props, options: { ...props.options, orientation: 'horizontal' } }} sparkline={false}>
      {(one, width, height) => (
        <BarGauge width={width} height={Math.min(height, 64)} theme={theme} field={one.field} value={one.display} display={one.view?.getFieldDisplayProcessor(one.colIndex!)} orientation={'horizontal' as any} displayMode={'gradient' as any} />
      )}
    </Repeated>
  );
}

export function TableOfRows(props: PanelProps<any>) {
  const frame = props.data.series[0];
  if (!frame || frame.length === 0) {
    return <Empty />;
  }
  return <Table data={frame} width={props.width} height={props.height} cellHeight={'sm' as any} initialSortBy={props.options.sortBy} />;
}

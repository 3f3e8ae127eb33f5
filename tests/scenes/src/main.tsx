// Shows one dashboard, /boards/UID.json, and tells the program that drives the browser how its panels fare.
import { EmbeddedScene, sceneGraph, VizPanel } from '@grafana/scenes';
import { ThemeContext } from '@grafana/data';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import React from 'react';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';

import { install, theme } from './runtime';
import { sceneOf } from './scene';

/** What became of a panel. `rows` counts values, lines, spans: 0 is an empty panel. */
interface Fate {
  title: string;
  type: string;
  state: string;
  errors: string[];
  rows: number;
}

function fateOf(panel: VizPanel): Fate {
  const data = sceneGraph.getData(panel).state.data;
  const errors = [...(data?.errors ?? []), ...(data?.error ? [data.error] : [])].map((error) => String(error.message));
  if (panel.state._pluginLoadError) {
    errors.push(panel.state._pluginLoadError);
  }
  const filled = (values: ArrayLike<unknown>) => Array.from(values).filter((value) => value !== null && value !== undefined);
  // A frame's time is no value; a row without any other is none.
  const rows = (data?.series ?? []).map((frame) =>
    Math.max(0, ...frame.fields.filter((field) => field.type !== 'time').map((field) => filled(field.values).length))
  );
  return {
    title: panel.state.title,
    type: panel.state.pluginId,
    state: String(data?.state ?? 'NotStarted'),
    errors: [...new Set(errors)],
    rows: rows.reduce((sum, count) => sum + count, 0),
  };
}

class Boundary extends React.Component<React.PropsWithChildren, { error?: Error }> {
  state: { error?: Error } = {};
  static getDerivedStateFromError(error: Error) {
    return { error };
  }
  render() {
    return this.state.error ? <pre id="page-error">{String(this.state.error.stack)}</pre> : this.props.children;
  }
}

function App({ scene, title, width }: { scene: EmbeddedScene; title: string; width: number }) {
  return (
    <Boundary>
      <MemoryRouter>
        <ThemeContext.Provider value={theme}>
          <GlobalStyles />
          <PortalContainer />
          <div id="dashboard" style={{ width, padding: 8 }}>
            <h1 style={{ fontSize: 20, fontWeight: 500, margin: '4px 0' }}>{title}</h1>
            <scene.Component model={scene} />
          </div>
        </ThemeContext.Provider>
      </MemoryRouter>
    </Boundary>
  );
}

const parameters = new URLSearchParams(location.search);
const board = await (await fetch(`/boards/${parameters.get('board')}.json`)).json();
install();
const scene = sceneOf(board, Object.fromEntries(parameters));
Object.assign(window, {
  fates: () => sceneGraph.findAllObjects(scene, (object) => object instanceof VizPanel).map((panel) => fateOf(panel as VizPanel)),
});
createRoot(document.getElementById('root')!).render(<App scene={scene} title={board.title} width={window.innerWidth} />);
